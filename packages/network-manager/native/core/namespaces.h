// Namespaces without a process in them: made by a child that dies at once, kept alive by bind mounts.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "system.h"

namespace gantry::network {

struct NamespaceRequest {
  // True: a user namespace of its own, mapping 0..id_count-1 to id_base...
  bool own_user_namespace = true;
  uint32_t id_base = 0;
  uint32_t id_count = 0;
  // False: the host's network stays (network mode host with a user namespace of its own).
  bool own_net_namespace = true;
};

// Descriptors of fresh namespaces; what was not asked for is empty.
struct NamespacePair {
  UniqueFd user;
  UniqueFd net;
};

// Makes the namespaces asked for; the network namespace is owned by the new user namespace where there is one.
//
// The caller's process has threads, so nothing but raw system calls runs in the child, on a stack of its own in shared
// memory (CLONE_VM: no page table is copied). It only waits until its ids are mapped, and ends when its pipe does, be
// it because the work is done or because this process was killed.
Result<NamespacePair> make_namespaces(const NamespaceRequest& request);

// Bind-mounts a namespace descriptor onto a new file.
Status pin_namespace(const UniqueFd& descriptor, const std::string& path);

// Undoes pin_namespace; absent mounts and files are no error.
Status unpin_namespace(const std::string& path);

// Makes the directory a mount of its own whose mounts reach every other mount namespace that shares it.
Status share_directory(const std::string& path);

// Undoes share_directory; a directory that is no mount is no error.
Status release_directory(const std::string& path);

// Moves the calling thread into a network namespace for the life of the object.
class NetNamespaceScope {
 public:
  // `home` is the namespace to return to.
  static Result<NetNamespaceScope> enter(int home, int target);
  NetNamespaceScope(NetNamespaceScope&& other) noexcept : home_(std::exchange(other.home_, -1)) {}
  NetNamespaceScope& operator=(NetNamespaceScope&&) = delete;
  ~NetNamespaceScope();

 private:
  explicit NetNamespaceScope(int home) : home_(home) {}
  int home_;
};

// Opens the calling thread's own network namespace.
Result<UniqueFd> open_own_net_namespace();

}  // namespace gantry::network
