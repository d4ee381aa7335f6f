#include "inherit.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "failure.h"
#include "layer_tree.h"

namespace gantry::image {
namespace {

enum class Found { kDirectory, kNothingYet, kNothing };

// Walks one layer down the path. What hides the layers below it ends the search.
Found findIn(int layerFd, const std::string& path, UniqueFd& found) {
  UniqueFd here;
  int fd = layerFd;
  for (size_t from = 0; from < path.size();) {
    const size_t to = std::min(path.find('/', from), path.size());
    const std::string name = path.substr(from, to - from);
    from = to + 1;
    UniqueFd next = openDirectory(fd, name.c_str());
    if (!next) {
      if (errno == EMFILE || errno == ENFILE || errno == EIO) failSystem("open", path);
      const bool absent = errno == ENOENT;
      return absent && !(fd != layerFd && isOpaque(fd)) ? Found::kNothingYet : Found::kNothing;
    }
    here = std::move(next);
    fd = here.get();
  }
  found = std::move(here);
  return Found::kDirectory;
}

void copyXattrs(int from, int to, const std::string& path) {
  std::vector<char> names(64 * 1024);
  const ssize_t length = ::flistxattr(from, names.data(), names.size());
  if (length < 0) failSystem("list the attributes of", path);
  std::vector<char> value(64 * 1024);
  for (const char* name = names.data(); name < names.data() + length; name += std::strlen(name) + 1) {
    if (!isKeptXattr(name)) continue;
    const ssize_t size = ::fgetxattr(from, name, value.data(), value.size());
    if (size < 0 || ::fsetxattr(to, name, value.data(), static_cast<size_t>(size), 0) != 0)
      failSystem("set an extended attribute on", path);
  }
}

void copyAttributes(int from, int to, const std::string& path) {
  struct stat info {};
  if (::fstat(from, &info) != 0) failSystem("look at", path);
  if (::fchown(to, info.st_uid, info.st_gid) != 0) failSystem("set the owner of", path);
  if (::fchmod(to, info.st_mode & 07777) != 0) failSystem("set the mode of", path);
  copyXattrs(from, to, path);
  const timespec times[2] = {info.st_mtim, info.st_mtim};
  if (::futimens(to, times) != 0) failSystem("set the times of", path);
}

}  // namespace

void inheritDirectories(const UniqueFd& layer, const std::vector<UniqueFd>& lowers, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    UniqueFd made;
    if (findIn(layer.get(), path, made) != Found::kDirectory) continue;  // A later entry replaced it.
    for (const UniqueFd& lower : lowers) {
      UniqueFd original;
      const Found found = findIn(lower.get(), path, original);
      if (found == Found::kNothingYet) continue;
      if (found == Found::kDirectory) copyAttributes(original.get(), made.get(), path);
      break;
    }
  }
}

}  // namespace gantry::image
