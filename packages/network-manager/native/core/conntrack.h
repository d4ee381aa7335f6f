// Connection tracking: translated connections outlive the rule that translated them.
#pragma once

#include <cstdint>

#include "netlink.h"

namespace gantry::network {

// Forgets every connection that is answered from `address` (network byte order): those to a container that is going.
// Else a client that keeps its source port, as UDP clients do, would go on being sent to an address nobody has.
Status cut_connections(uint32_t address);

}  // namespace gantry::network
