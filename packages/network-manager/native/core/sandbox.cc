#include "sandbox.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace gantry::network {

namespace {

// /proc/sys/net shows the network namespace of the thread that opens it.
Status write_sysctls_here(const std::vector<Sysctl>& sysctls) {
  for (const auto& [name, value] : sysctls) {
    std::string path = "/proc/sys/" + name;
    UniqueFd fd(retry([&] { return ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW); }));
    if (!fd) return system_error("open sysctl", path);
    if (retry([&] { return ::write(fd.get(), value.data(), value.size()); }) < 0) return system_error("write sysctl", path);
  }
  return Done{};
}

Status fill_namespace(Host& host, int net, const SandboxRequest& request) {
  auto scope = NetNamespaceScope::enter(host.net_namespace(), net);
  if (!scope.ok()) return scope.error();
  auto socket = NetlinkSocket::open();
  if (!socket.ok()) return socket.error();
  NetlinkBatch batch;
  bring_loopback_up(batch);
  if (request.interface) {
    int index = socket.value().index_of("eth0");
    if (index == 0) return SysError{"find the interface inside", ENODEV, "eth0", {}};
    configure_inner(batch, request.interface->inner, index);
  }
  return socket.value().run(batch);
}

Status write_sysctls_in(Host& host, int net, const std::vector<Sysctl>& sysctls) {
  if (sysctls.empty()) return Done{};
  auto scope = NetNamespaceScope::enter(host.net_namespace(), net);
  if (!scope.ok()) return scope.error();
  return write_sysctls_here(sysctls);
}

Result<SandboxHandles> build(Host& host, const SandboxRequest& request) {
  auto made = make_namespaces(request.namespaces);
  if (!made.ok()) return made.error();
  NamespacePair& pair = made.value();
  if (pair.net) {
    if (auto written = write_sysctls_in(host, pair.net.get(), request.sysctls); !written.ok()) return written.error();
    if (request.interface) {
      if (auto linked = make_veth(host.links(), request.interface->veth, pair.net.get()); !linked.ok()) return linked.error();
    }
    if (auto filled = fill_namespace(host, pair.net.get(), request); !filled.ok()) return filled.error();
  }

  SandboxHandles handles;
  struct stat facts {};
  if (pair.user) {
    if (auto pinned = pin_namespace(pair.user, request.directory + "/user"); !pinned.ok()) return pinned.error();
    if (::fstat(pair.user.get(), &facts) < 0) return system_error("stat", request.directory + "/user");
    handles.user_device = facts.st_dev;
    handles.user_inode = facts.st_ino;
  }
  if (pair.net) {
    if (auto pinned = pin_namespace(pair.net, request.directory + "/net"); !pinned.ok()) return pinned.error();
    if (::fstat(pair.net.get(), &facts) < 0) return system_error("stat", request.directory + "/net");
    handles.net_device = facts.st_dev;
    handles.net_inode = facts.st_ino;
  }
  return handles;
}

Result<UniqueFd> open_namespace(const std::string& path) {
  UniqueFd fd(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW); }));
  if (!fd) return system_error("open", path);
  return fd;
}

}  // namespace

Result<Host> Host::open() {
  auto ns = open_own_net_namespace();
  if (!ns.ok()) return ns.error();
  auto links = NetlinkSocket::open();
  if (!links.ok()) return links.error();
  return Host(std::move(ns.value()), std::move(links.value()));
}

Result<SandboxHandles> make_sandbox(Host& host, const SandboxRequest& request) {
  auto built = build(host, request);
  if (!built.ok()) {
    std::string link = request.interface ? request.interface->veth.host_name : std::string();
    // A link of that name which was there before is not ours to delete.
    if (built.error().number == EEXIST && built.error().stage == "make the veth pair") link.clear();
    if (!link.empty()) (void)delete_link(host.links(), link);
    (void)unpin_namespace(request.directory + "/user");
    (void)unpin_namespace(request.directory + "/net");
  }
  return built;
}

Status destroy_sandboxes(Host& host, const std::vector<Doomed>& doomed, uint32_t group) {
  std::vector<std::string> names;
  for (const auto& one : doomed) {
    if (!one.host_interface.empty()) names.push_back(one.host_interface);
  }
  // The links first: they must go even when a process left inside keeps the namespace alive.
  if (auto deleted = delete_links_together(host.links(), names, group); !deleted.ok()) return deleted.error();
  for (const auto& one : doomed) {
    if (auto gone = unpin_namespace(one.directory + "/net"); !gone.ok()) return gone.error();
    if (auto gone = unpin_namespace(one.directory + "/user"); !gone.ok()) return gone.error();
  }
  return Done{};
}

Status write_sysctls(Host& host, const std::string& path, const std::vector<Sysctl>& sysctls) {
  auto net = open_namespace(path);
  if (!net.ok()) return net.error();
  return write_sysctls_in(host, net.value().get(), sysctls);
}

Result<std::vector<Link>> list_links_inside(Host& host, const std::string& path) {
  auto net = open_namespace(path);
  if (!net.ok()) return net.error();
  auto scope = NetNamespaceScope::enter(host.net_namespace(), net.value().get());
  if (!scope.ok()) return scope.error();
  auto socket = NetlinkSocket::open();
  if (!socket.ok()) return socket.error();
  return list_links(socket.value());
}

}  // namespace gantry::network
