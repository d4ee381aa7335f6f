// Links of the host's network namespace, and the addresses on them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "netlink.h"

namespace gantry::network {

struct Link {
  int index = 0;
  std::string name;
  // "bridge", "veth", ...; empty for plain devices.
  std::string kind;
  // Index of the bridge the link is attached to, 0 for none.
  int master = 0;
  // Hardware address; all 0 without one.
  uint8_t mac[6] = {};
  bool up = false;
  uint32_t mtu = 0;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

struct BridgeRequest {
  std::string name;
  // Address in network byte order, and its prefix length.
  uint32_t address = 0;
  uint8_t prefix_length = 0;
  uint8_t mac[6] = {};
};

// One veth pair: one end on the bridge, the other born as eth0 inside the target namespace.
struct VethRequest {
  std::string host_name;
  int bridge_index = 0;
  uint8_t mac[6] = {};
};

struct InnerRequest {
  uint32_t address = 0;
  uint8_t prefix_length = 0;
  uint32_t gateway = 0;
};

Result<std::vector<Link>> list_links(NetlinkSocket& socket);

// Makes the bridge when it is missing, gives it its address and sets it up; answers its index.
Result<int> ensure_bridge(NetlinkSocket& socket, const BridgeRequest& request);

// Deletes a link by name; one already gone is no error.
Status delete_link(NetlinkSocket& socket, const std::string& name);

// Puts links back on the bridge and up; links that are gone are no error.
Status attach_links(NetlinkSocket& socket, const std::vector<std::string>& names, int bridge_index);

// Lets frames leave through the port they came in by, as a container's connection to its own published port does where
// br_netfilter makes bridged packets see the rules. Links that are gone are no error.
Status set_hairpin(NetlinkSocket& socket, const std::vector<std::string>& names);

// Makes the pair; the host's end comes up with it.
Status make_veth(NetlinkSocket& host, const VethRequest& request, int target_namespace);

// Inside the new namespace: loopback up.
void bring_loopback_up(NetlinkBatch& batch);
// Inside the new namespace: the interface up, its address, the default route.
void configure_inner(NetlinkBatch& batch, const InnerRequest& request, int index);

// Deletes many links in one go: the kernel waits for its readers (synchronize_net) once for all instead of once each.
// `group` marks the links to go and must belong to the caller alone.
Status delete_links_together(NetlinkSocket& socket, const std::vector<std::string>& names, uint32_t group);

}  // namespace gantry::network
