#pragma once

#include <string>
#include <vector>

#include "gantry/result.h"

namespace gantry::files {

struct Content {
  bool present = false;
  std::vector<char> bytes;
};

// Reads a regular file below `root` as a process rooted there would name it: symlinks, also absolute ones and `..`,
// cannot leave `root` (openat2(2), RESOLVE_IN_ROOT), which holds also while somebody changes the tree. `present` is
// false when there is no such file. A file above `limit` bytes is EFBIG, what is not a regular file EINVAL.
Result<Content> readInRoot(const std::string& root, const std::string& path, size_t limit);

// Does the directory hide what lower layers have at its place (overlay's user.overlay.opaque, as userxattr mounts use)?
Result<bool> isOpaque(const std::string& directory);

}  // namespace gantry::files
