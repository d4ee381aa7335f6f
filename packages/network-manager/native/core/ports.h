// Whether a process of the host already listens on a port.
#pragma once

#include <cstdint>

#include "system.h"

namespace gantry::network {

// Binds the port and lets it go at once. `address` is in network byte order. EADDRINUSE means taken.
Status probe_port(bool tcp, uint32_t address, uint16_t port);

}  // namespace gantry::network
