#include "conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <cstring>
#include <string>
#include <vector>

namespace gantry::network {

namespace {

constexpr uint16_t kGet = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET;
constexpr uint16_t kDelete = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE;
// Bit of CTA_IP_V4_SRC in CTA_FILTER_*_FLAGS (net/netfilter/nf_internals.h: the first one).
constexpr uint32_t kFilterSource = 1;
constexpr size_t kDeletesAtOnce = 64;

nfgenmsg ipv4() {
  nfgenmsg message{};
  message.nfgen_family = AF_INET;
  message.version = NFNETLINK_V0;
  return message;
}

// What identifies one connection: the payload of its original tuple, and its id.
struct Connection {
  std::string original;
  std::string id;
};

Connection read_connection(const nlmsghdr* header) {
  Connection found;
  const char* base = reinterpret_cast<const char*>(header);
  size_t offset = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(nfgenmsg));
  while (offset + NLA_HDRLEN <= header->nlmsg_len) {
    nlattr attribute;
    std::memcpy(&attribute, base + offset, sizeof attribute);
    if (attribute.nla_len < NLA_HDRLEN || offset + attribute.nla_len > header->nlmsg_len) break;
    std::string payload(base + offset + NLA_HDRLEN, attribute.nla_len - NLA_HDRLEN);
    uint16_t type = attribute.nla_type & NLA_TYPE_MASK;
    if (type == CTA_TUPLE_ORIG) found.original = std::move(payload);
    if (type == CTA_ID) found.id = std::move(payload);
    offset += NLA_ALIGN(attribute.nla_len);
  }
  return found;
}

}  // namespace

Status cut_connections(uint32_t address) {
  auto opened = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!opened.ok()) return opened.error();
  NetlinkSocket& socket = opened.value();

  NetlinkBatch question;
  question.begin(kGet, NLM_F_DUMP, "list connections");
  question.fixed(ipv4());
  size_t filter = question.open(CTA_FILTER | NLA_F_NESTED);
  question.u32(CTA_FILTER_REPLY_FLAGS, kFilterSource);
  question.close(filter);
  size_t tuple = question.open(CTA_TUPLE_REPLY | NLA_F_NESTED);
  size_t ip = question.open(CTA_TUPLE_IP | NLA_F_NESTED);
  question.u32(CTA_IP_V4_SRC, address);
  question.close(ip);
  question.close(tuple);
  question.end();

  std::vector<Connection> connections;
  auto listed = socket.dump(question, [&](const nlmsghdr* header) { connections.push_back(read_connection(header)); });
  if (!listed.ok()) return listed.error();

  for (size_t start = 0; start < connections.size(); start += kDeletesAtOnce) {
    NetlinkBatch batch;
    for (size_t i = start; i < connections.size() && i < start + kDeletesAtOnce; i++) {
      // ENOENT: it ended by itself meanwhile.
      batch.begin(kDelete, 0, "forget a connection", ENOENT);
      batch.fixed(ipv4());
      batch.attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, connections[i].original.data(), connections[i].original.size());
      if (!connections[i].id.empty()) batch.attribute(CTA_ID, connections[i].id.data(), connections[i].id.size());
      batch.end();
    }
    if (auto cut = socket.run(batch); !cut.ok()) return cut.error();
  }
  return Done{};
}

}  // namespace gantry::network
