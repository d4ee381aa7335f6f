// Netlink requests built into one buffer, sent at once, and answered one acknowledgement each.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "system.h"

namespace gantry::network {

// Several netlink messages that travel in one send.
class NetlinkBatch {
 public:
  // Opens a message; `stage` names it should the kernel refuse. `tolerated` is an errno that counts as success.
  void begin(uint16_t type, uint16_t flags, std::string stage, int tolerated = 0);
  // The fixed part that follows the header (ifinfomsg, ifaddrmsg, rtmsg).
  template <typename T>
  void fixed(const T& value) {
    append(&value, sizeof value);
  }
  void attribute(uint16_t type, const void* data, size_t size);
  void text(uint16_t type, std::string_view value);
  void u32(uint16_t type, uint32_t value) { attribute(type, &value, sizeof value); }
  void u16(uint16_t type, uint16_t value) { attribute(type, &value, sizeof value); }
  void u8(uint16_t type, uint8_t value) { attribute(type, &value, sizeof value); }
  // Nested attributes close in the reverse order of opening.
  size_t open(uint16_t type);
  void close(size_t mark);
  void end();

  bool empty() const { return messages_.empty(); }

 private:
  friend class NetlinkSocket;
  struct Message {
    size_t offset;
    std::string stage;
    int tolerated;
  };
  void append(const void* data, size_t size);

  std::vector<char> buffer_;
  std::vector<Message> messages_;
};

// A socket of the network namespace in which the opening thread stood.
class NetlinkSocket {
 public:
  static Result<NetlinkSocket> open(int protocol = NETLINK_ROUTE);

  // Sends the batch and waits for every acknowledgement; the first refusal is the answer. The rest is still carried out.
  Status run(NetlinkBatch& batch);

  // Sends a batch of one message, begun with NLM_F_DUMP, and hands every answering message over.
  Status dump(NetlinkBatch& request, const std::function<void(const nlmsghdr*)>& each);

  // The index of an interface, 0 when there is none of that name.
  int index_of(const std::string& name) const;

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
  uint32_t sequence_ = 1;
  std::vector<char> answer_ = std::vector<char>(64 * 1024);
};

}  // namespace gantry::network
