#include "remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <gantry/unique_fd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "failure.h"

namespace gantry::image {
namespace {

// Directories below this depth are first moved up to the top, so that neither descriptors nor stack grow with the tree.
constexpr int kMaxDepth = 100;

struct Remover {
  int topFd;
  unsigned moved = 0;

  void removeEntry(int directoryFd, const char* name, unsigned char type, int depth) {
    if (type != DT_DIR) {
      if (::unlinkat(directoryFd, name, 0) == 0 || errno == ENOENT) return;
      // Also the answer for entries whose type the file system did not tell.
      if (errno != EISDIR && errno != EPERM) failSystem("unlink", name);
    }
    if (depth >= kMaxDepth) {
      for (;;) {
        const std::string upper = ".deep-" + std::to_string(moved++);
        if (::renameat2(directoryFd, name, topFd, upper.c_str(), RENAME_NOREPLACE) == 0) return;
        if (errno != EEXIST) failSystem("rename", name);
      }
    }
    empty(directoryFd, name, depth + 1);
    if (::unlinkat(directoryFd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) failSystem("rmdir", name);
  }

  void empty(int directoryFd, const char* name, int depth) {
    UniqueFd fd(::openat(directoryFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
      if (errno == ENOENT) return;
      failSystem("open", name);
    }
    emptyOpened(std::move(fd), depth);
  }

  void emptyOpened(UniqueFd fd, int depth) {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
    if (!stream) failSystem("list", "a directory");
    const int listFd = fd.release();
    for (const dirent* entry = ::readdir(stream.get()); entry != nullptr; entry = ::readdir(stream.get())) {
      const std::string_view child = entry->d_name;
      if (child == "." || child == "..") continue;
      removeEntry(listFd, entry->d_name, entry->d_type, depth);
    }
  }
};

}  // namespace

void removeTree(int directoryFd, const std::string& name) {
  if (::unlinkat(directoryFd, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM) failSystem("unlink", name);
  const UniqueFd top(::openat(directoryFd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) failSystem("open", name);
  Remover remover{top.get()};
  // Entries moved up, or made meanwhile, appear in the next round.
  for (int round = 0;; round++) {
    UniqueFd again(::openat(top.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!again) failSystem("open", name);
    remover.emptyOpened(std::move(again), 0);
    if (::unlinkat(directoryFd, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if ((errno != ENOTEMPTY && errno != EEXIST) || round > 10'000) failSystem("rmdir", name);
  }
}

}  // namespace gantry::image
