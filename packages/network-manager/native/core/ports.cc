#include "ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace gantry::network {

Status probe_port(bool tcp, uint32_t address, uint16_t port) {
  UniqueFd fd(::socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (!fd) return system_error("socket");
  // With SO_REUSEADDR a TCP port whose old connections linger in TIME_WAIT is free, one that is listened on is not
  // (socket(7)). For UDP it would say "free" of any port whose owner set it too.
  int on = 1;
  if (tcp) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) < 0) return system_error("bind");
  return Done{};
}

}  // namespace gantry::network
