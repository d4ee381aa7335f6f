#include "core.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "gantry/unique_fd.h"

namespace gantry::files {

namespace {

int openat2InRoot(int root, const char* path) {
  open_how how{};
  // O_NONBLOCK: a fifo in the place of a file must not stop us.
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root, path, &how, sizeof how);
    // EAGAIN: a rename raced with "..", the kernel asks to try again.
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return static_cast<int>(fd);
  }
}

bool absent(int err) { return err == ENOENT || err == ENOTDIR; }

}  // namespace

Result<Content> readInRoot(const std::string& root, const std::string& path, size_t limit) {
  UniqueFd rootFd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!rootFd) {
    if (absent(errno)) return Content{};
    return lastError("open", root);
  }
  UniqueFd file(openat2InRoot(rootFd.get(), path.c_str()));
  if (!file) {
    if (absent(errno) || errno == ELOOP) return Content{};
    return lastError("openat2", path);
  }
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return lastError("fstat", path);
  if (!S_ISREG(facts.st_mode)) return makeError("not a regular file", EINVAL, path);
  if (static_cast<size_t>(facts.st_size) > limit) return makeError("too large", EFBIG, path);
  Content content{true, std::vector<char>(limit)};
  size_t filled = 0;
  while (filled < limit) {
    const ssize_t got = ::read(file.get(), content.bytes.data() + filled, limit - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return lastError("read", path);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  content.bytes.resize(filled);
  return content;
}

Result<bool> isOpaque(const std::string& directory) {
  char value = 0;
  const ssize_t got = ::lgetxattr(directory.c_str(), "user.overlay.opaque", &value, sizeof value);
  if (got >= 0) return got == 1 && value == 'y';
  // ERANGE: a longer value, which overlay does not take for opaque either.
  if (errno == ENODATA || errno == ENOTSUP || errno == ERANGE) return false;
  return lastError("lgetxattr", directory);
}

}  // namespace gantry::files
