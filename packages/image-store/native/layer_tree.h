#pragma once

#include <fcntl.h>
#include <gantry/unique_fd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <string_view>

// How overlay's `userxattr` form reads a layer.
namespace gantry::image {

inline constexpr const char* kOpaqueXattr = "user.overlay.opaque";

// A 0/0 character device: the name is gone.
inline bool isWhiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0); }

// The directory hides what lower layers have in it.
inline bool isOpaque(int fd) {
  char value = 0;
  return ::fgetxattr(fd, kOpaqueXattr, &value, 1) == 1 && value == 'y';
}

inline UniqueFd openDirectory(int parentFd, const char* name) {
  return UniqueFd(::openat(parentFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// What overlay itself writes must come from us alone: a layer could else hide or forge the content of the ones below.
// `trusted.` and other security labels mean nothing in a container's user namespace.
inline bool isKeptXattr(std::string_view name) {
  if (name.starts_with("user.")) return !name.starts_with("user.overlay.");
  return name == "security.capability" || name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

}  // namespace gantry::image
