// A sandbox: namespaces pinned to files, loopback up, and, where wanted, an interface with an address on the bridge.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "links.h"
#include "namespaces.h"

namespace gantry::network {

// "net/ipv4/ip_unprivileged_port_start" and its value.
using Sysctl = std::pair<std::string, std::string>;

struct Interface {
  VethRequest veth;
  InnerRequest inner;
};

struct SandboxRequest {
  // Directory that gets the files `user` and `net`; it exists already.
  std::string directory;
  NamespaceRequest namespaces;
  std::optional<Interface> interface;
  // Written before the interface exists, so that its defaults apply to it.
  std::vector<Sysctl> sysctls;
};

struct SandboxHandles {
  uint64_t user_device = 0, user_inode = 0;
  uint64_t net_device = 0, net_inode = 0;
};

struct Doomed {
  std::string directory;
  // Empty when the sandbox has no interface on the host.
  std::string host_interface;
};

// What every thread that works on sandboxes keeps: its own namespace, and a socket that stays open.
class Host {
 public:
  static Result<Host> open();
  NetlinkSocket& links() { return links_; }
  int net_namespace() const { return namespace_.get(); }

 private:
  Host(UniqueFd ns, NetlinkSocket links) : namespace_(std::move(ns)), links_(std::move(links)) {}
  UniqueFd namespace_;
  NetlinkSocket links_;
};

// Makes the whole sandbox or nothing.
Result<SandboxHandles> make_sandbox(Host& host, const SandboxRequest& request);

// Takes sandboxes apart; whatever is already gone is no error. The directory's two files go, the directory stays.
Status destroy_sandboxes(Host& host, const std::vector<Doomed>& doomed, uint32_t group);

// Writes sysctls inside the namespace pinned at `path`.
Status write_sysctls(Host& host, const std::string& path, const std::vector<Sysctl>& sysctls);

// Links with their counters, as seen inside the namespace pinned at `path`.
Result<std::vector<Link>> list_links_inside(Host& host, const std::string& path);

}  // namespace gantry::network
