#include "netlink.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstring>

namespace gantry::network {

void NetlinkBatch::append(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  buffer_.insert(buffer_.end(), bytes, bytes + size);
  buffer_.resize(NLMSG_ALIGN(buffer_.size()));
}

void NetlinkBatch::begin(uint16_t type, uint16_t flags, std::string stage, int tolerated) {
  messages_.push_back({buffer_.size(), std::move(stage), tolerated});
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST | NLM_F_ACK);
  append(&header, sizeof header);
}

void NetlinkBatch::attribute(uint16_t type, const void* data, size_t size) {
  nlattr header{};
  header.nla_type = type;
  header.nla_len = static_cast<uint16_t>(NLA_HDRLEN + size);
  append(&header, sizeof header);
  if (size > 0) append(data, size);
}

void NetlinkBatch::text(uint16_t type, std::string_view value) {
  std::string terminated(value);
  attribute(type, terminated.c_str(), terminated.size() + 1);
}

size_t NetlinkBatch::open(uint16_t type) {
  size_t mark = buffer_.size();
  attribute(type, nullptr, 0);
  return mark;
}

void NetlinkBatch::close(size_t mark) {
  nlattr header;
  std::memcpy(&header, buffer_.data() + mark, sizeof header);
  header.nla_len = static_cast<uint16_t>(buffer_.size() - mark);
  std::memcpy(buffer_.data() + mark, &header, sizeof header);
}

void NetlinkBatch::end() {
  size_t offset = messages_.back().offset;
  auto length = static_cast<uint32_t>(buffer_.size() - offset);
  std::memcpy(buffer_.data() + offset + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
}

Result<NetlinkSocket> NetlinkSocket::open(int protocol) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return system_error("socket(AF_NETLINK)");
  // Extended acknowledgements carry the kernel's own sentence about what it refused.
  int on = 1;
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  // An answer that never comes must not hold the thread for ever.
  timeval patience{5, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return NetlinkSocket(std::move(fd));
}

// The kernel's sentence in an extended acknowledgement, empty without one.
static std::string kernel_sentence(const nlmsghdr* header) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  size_t offset = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(nlmsgerr));
  const char* base = reinterpret_cast<const char*>(header);
  while (offset + NLA_HDRLEN <= header->nlmsg_len) {
    nlattr attribute;
    std::memcpy(&attribute, base + offset, sizeof attribute);
    if (attribute.nla_len < NLA_HDRLEN || offset + attribute.nla_len > header->nlmsg_len) break;
    if ((attribute.nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
      return std::string(base + offset + NLA_HDRLEN, ::strnlen(base + offset + NLA_HDRLEN, attribute.nla_len - NLA_HDRLEN));
    }
    offset += NLA_ALIGN(attribute.nla_len);
  }
  return {};
}

Status NetlinkSocket::run(NetlinkBatch& batch) {
  if (batch.empty()) return Done{};
  uint32_t first = sequence_;
  for (auto& message : batch.messages_) {
    uint32_t sequence = sequence_++;
    std::memcpy(batch.buffer_.data() + message.offset + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
  }
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  auto sent = retry([&] {
    return ::sendto(fd_.get(), batch.buffer_.data(), batch.buffer_.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
  });
  if (sent < 0) return system_error("send to rtnetlink: " + batch.messages_.front().stage);

  size_t waiting = batch.messages_.size();
  SysError refused;
  bool failed = false;
  while (waiting > 0) {
    auto size = retry([&] { return ::recv(fd_.get(), answer_.data(), answer_.size(), 0); });
    if (size < 0) return system_error("answer of rtnetlink: " + batch.messages_.front().stage);
    auto left = static_cast<unsigned>(size);
    for (auto* header = reinterpret_cast<nlmsghdr*>(answer_.data()); NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      // An acknowledgement of an earlier batch that timed out is not ours.
      uint32_t position = header->nlmsg_seq - first;
      if (header->nlmsg_type != NLMSG_ERROR || position >= batch.messages_.size()) continue;
      waiting--;
      int number = -reinterpret_cast<nlmsgerr*>(NLMSG_DATA(header))->error;
      auto& message = batch.messages_[position];
      if (number == 0 || number == message.tolerated || failed) continue;
      failed = true;
      refused = SysError{message.stage, number, {}, kernel_sentence(header)};
    }
  }
  if (failed) return refused;
  return Done{};
}

Status NetlinkSocket::dump(NetlinkBatch& request, const std::function<void(const nlmsghdr*)>& each) {
  const std::string& stage = request.messages_.front().stage;
  uint32_t sequence = sequence_++;
  std::memcpy(request.buffer_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
  if (retry([&] { return ::send(fd_.get(), request.buffer_.data(), request.buffer_.size(), 0); }) < 0) return system_error("send: " + stage);
  for (;;) {
    auto size = retry([&] { return ::recv(fd_.get(), answer_.data(), answer_.size(), 0); });
    if (size < 0) return system_error("answer: " + stage);
    auto left = static_cast<unsigned>(size);
    for (auto* header = reinterpret_cast<nlmsghdr*>(answer_.data()); NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_seq != sequence) continue;
      if (header->nlmsg_type == NLMSG_DONE) return Done{};
      if (header->nlmsg_type == NLMSG_ERROR) {
        int number = -reinterpret_cast<nlmsgerr*>(NLMSG_DATA(header))->error;
        if (number != 0) return SysError{stage, number, {}, kernel_sentence(header)};
        continue;
      }
      each(header);
    }
  }
}

int NetlinkSocket::index_of(const std::string& name) const {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(fd_.get(), SIOCGIFINDEX, &request) < 0) return 0;
  return request.ifr_ifindex;
}

}  // namespace gantry::network
