#include "links.h"

#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <cstring>

namespace gantry::network {

namespace {

constexpr uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL;

void begin_link(NetlinkBatch& batch, uint16_t type, uint16_t flags, int index, unsigned state, std::string stage, int tolerated = 0) {
  batch.begin(type, flags, std::move(stage), tolerated);
  ifinfomsg info{};
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = index;
  info.ifi_flags = state;
  info.ifi_change = state;
  batch.fixed(info);
}

void add_address(NetlinkBatch& batch, int index, uint32_t address, uint8_t prefix_length, int tolerated) {
  batch.begin(RTM_NEWADDR, kCreate, "add the address", tolerated);
  ifaddrmsg message{};
  message.ifa_family = AF_INET;
  message.ifa_prefixlen = prefix_length;
  message.ifa_index = static_cast<unsigned>(index);
  batch.fixed(message);
  batch.u32(IFA_LOCAL, address);
  batch.u32(IFA_ADDRESS, address);
  // Directed broadcast as every other tool sets it.
  uint32_t mask = prefix_length >= 31 ? 0xffffffffu : ~(0xffffffffu << (32 - prefix_length));
  if (prefix_length < 31) batch.u32(IFA_BROADCAST, address | __builtin_bswap32(mask));
  batch.end();
}

Link read_link(const nlmsghdr* header) {
  Link link;
  auto* info = static_cast<ifinfomsg*>(NLMSG_DATA(header));
  link.index = info->ifi_index;
  link.up = (info->ifi_flags & IFF_UP) != 0;
  int left = static_cast<int>(IFLA_PAYLOAD(header));
  for (auto* attribute = IFLA_RTA(info); RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    switch (attribute->rta_type & NLA_TYPE_MASK) {
      case IFLA_IFNAME:
        link.name = static_cast<const char*>(RTA_DATA(attribute));
        break;
      case IFLA_ADDRESS:
        if (RTA_PAYLOAD(attribute) == sizeof link.mac) std::memcpy(link.mac, RTA_DATA(attribute), sizeof link.mac);
        break;
      case IFLA_MASTER:
        std::memcpy(&link.master, RTA_DATA(attribute), sizeof link.master);
        break;
      case IFLA_MTU:
        std::memcpy(&link.mtu, RTA_DATA(attribute), sizeof link.mtu);
        break;
      case IFLA_LINKINFO: {
        int inner = static_cast<int>(RTA_PAYLOAD(attribute));
        for (auto* nested = static_cast<rtattr*>(RTA_DATA(attribute)); RTA_OK(nested, inner); nested = RTA_NEXT(nested, inner)) {
          if ((nested->rta_type & NLA_TYPE_MASK) == IFLA_INFO_KIND) link.kind = static_cast<const char*>(RTA_DATA(nested));
        }
        break;
      }
      case IFLA_STATS64: {
        rtnl_link_stats64 counters{};
        std::memcpy(&counters, RTA_DATA(attribute), std::min(sizeof counters, static_cast<size_t>(RTA_PAYLOAD(attribute))));
        link.rx_bytes = counters.rx_bytes;
        link.rx_packets = counters.rx_packets;
        link.rx_errors = counters.rx_errors;
        link.rx_dropped = counters.rx_dropped;
        link.tx_bytes = counters.tx_bytes;
        link.tx_packets = counters.tx_packets;
        link.tx_errors = counters.tx_errors;
        link.tx_dropped = counters.tx_dropped;
        break;
      }
      default:
        break;
    }
  }
  return link;
}

}  // namespace

Result<std::vector<Link>> list_links(NetlinkSocket& socket) {
  std::vector<Link> links;
  NetlinkBatch question;
  begin_link(question, RTM_GETLINK, NLM_F_DUMP, 0, 0, "list links");
  question.end();
  auto listed = socket.dump(question, [&](const nlmsghdr* header) {
    if (header->nlmsg_type == RTM_NEWLINK) links.push_back(read_link(header));
  });
  if (!listed.ok()) return listed.error();
  return links;
}

Result<int> ensure_bridge(NetlinkSocket& socket, const BridgeRequest& request) {
  NetlinkBatch make;
  begin_link(make, RTM_NEWLINK, kCreate, 0, 0, "make the bridge", EEXIST);
  make.text(IFLA_IFNAME, request.name);
  // A fixed address: without one the bridge takes the lowest of its ports and changes as containers come and go.
  make.attribute(IFLA_ADDRESS, request.mac, sizeof request.mac);
  size_t info = make.open(IFLA_LINKINFO);
  make.text(IFLA_INFO_KIND, "bridge");
  size_t data = make.open(IFLA_INFO_DATA);
  make.u32(IFLA_BR_FORWARD_DELAY, 0);
  make.u32(IFLA_BR_STP_STATE, 0);
  make.u8(IFLA_BR_MCAST_SNOOPING, 0);
  make.close(data);
  make.close(info);
  make.end();
  if (auto made = socket.run(make); !made.ok()) return made.error();

  int index = socket.index_of(request.name);
  if (index == 0) return SysError{"find the bridge", ENODEV, request.name, {}};
  NetlinkBatch set;
  add_address(set, index, request.address, request.prefix_length, EEXIST);
  begin_link(set, RTM_NEWLINK, 0, index, IFF_UP, "set the bridge up");
  set.end();
  if (auto done = socket.run(set); !done.ok()) return done.error();
  return index;
}

Status delete_link(NetlinkSocket& socket, const std::string& name) {
  NetlinkBatch batch;
  begin_link(batch, RTM_DELLINK, 0, 0, 0, "delete the link", ENODEV);
  batch.text(IFLA_IFNAME, name);
  batch.end();
  return socket.run(batch);
}

Status attach_links(NetlinkSocket& socket, const std::vector<std::string>& names, int bridge_index) {
  NetlinkBatch batch;
  for (const auto& name : names) {
    begin_link(batch, RTM_NEWLINK, 0, 0, IFF_UP, "attach the link to the bridge", ENODEV);
    batch.text(IFLA_IFNAME, name);
    batch.u32(IFLA_MASTER, static_cast<uint32_t>(bridge_index));
    batch.end();
  }
  return socket.run(batch);
}

Status set_hairpin(NetlinkSocket& socket, const std::vector<std::string>& names) {
  NetlinkBatch batch;
  for (const auto& name : names) {
    begin_link(batch, RTM_NEWLINK, 0, 0, 0, "set hairpin mode", ENODEV);
    batch.text(IFLA_IFNAME, name);
    size_t info = batch.open(IFLA_LINKINFO);
    batch.text(IFLA_INFO_SLAVE_KIND, "bridge");
    size_t data = batch.open(IFLA_INFO_SLAVE_DATA);
    batch.u8(IFLA_BRPORT_MODE, 1);
    batch.close(data);
    batch.close(info);
    batch.end();
  }
  return socket.run(batch);
}

Status make_veth(NetlinkSocket& host, const VethRequest& request, int target_namespace) {
  NetlinkBatch batch;
  begin_link(batch, RTM_NEWLINK, kCreate, 0, IFF_UP, "make the veth pair");
  batch.text(IFLA_IFNAME, request.host_name);
  batch.u32(IFLA_MASTER, static_cast<uint32_t>(request.bridge_index));
  size_t info = batch.open(IFLA_LINKINFO);
  batch.text(IFLA_INFO_KIND, "veth");
  size_t data = batch.open(IFLA_INFO_DATA);
  size_t peer = batch.open(VETH_INFO_PEER);
  ifinfomsg inner{};
  inner.ifi_family = AF_UNSPEC;
  // Not up yet: the kernel configures this end before the pair is joined and would answer ENOTCONN.
  batch.fixed(inner);
  batch.text(IFLA_IFNAME, "eth0");
  batch.attribute(IFLA_ADDRESS, request.mac, sizeof request.mac);
  batch.u32(IFLA_NET_NS_FD, static_cast<uint32_t>(target_namespace));
  batch.close(peer);
  batch.close(data);
  batch.close(info);
  batch.end();
  return host.run(batch);
}

void bring_loopback_up(NetlinkBatch& batch) {
  // Loopback is the first interface of every network namespace.
  begin_link(batch, RTM_NEWLINK, 0, 1, IFF_UP, "set loopback up");
  batch.end();
}

void configure_inner(NetlinkBatch& batch, const InnerRequest& request, int index) {
  begin_link(batch, RTM_NEWLINK, 0, index, IFF_UP, "set the interface up");
  batch.end();
  add_address(batch, index, request.address, request.prefix_length, 0);
  batch.begin(RTM_NEWROUTE, kCreate, "add the default route");
  rtmsg route{};
  route.rtm_family = AF_INET;
  route.rtm_table = RT_TABLE_MAIN;
  route.rtm_protocol = RTPROT_STATIC;
  route.rtm_scope = RT_SCOPE_UNIVERSE;
  route.rtm_type = RTN_UNICAST;
  batch.fixed(route);
  batch.u32(RTA_GATEWAY, request.gateway);
  batch.u32(RTA_OIF, static_cast<uint32_t>(index));
  batch.end();
}

Status delete_links_together(NetlinkSocket& socket, const std::vector<std::string>& names, uint32_t group) {
  if (names.empty()) return Done{};
  NetlinkBatch batch;
  for (const auto& name : names) {
    begin_link(batch, RTM_NEWLINK, 0, 0, 0, "mark the link for deletion", ENODEV);
    batch.text(IFLA_IFNAME, name);
    batch.u32(IFLA_GROUP, group);
    batch.end();
  }
  begin_link(batch, RTM_DELLINK, 0, 0, 0, "delete the marked links", ENODEV);
  batch.u32(IFLA_GROUP, group);
  batch.end();
  return socket.run(batch);
}

}  // namespace gantry::network
