#include "upper_changes.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "failure.h"
#include "layer_tree.h"

namespace gantry::image {
namespace {

// Deeper directories are counted as one change with their size left out: a container must not be able to use up our stack.
constexpr int kMaxDepth = 512;

// What overlay finds below the upper directory.
enum class Below { kNothing, kDirectory, kOther };

class Walker {
 public:
  explicit Walker(size_t limit) : limit_(limit) {}

  void walk(UniqueFd upper, const std::vector<UniqueFd>& lowers, const std::string& path, int depth) {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(upper.get()), ::closedir);
    if (!stream) failSystem("list", path);
    const int fd = upper.release();
    std::vector<std::string> names;
    for (const dirent* entry = ::readdir(stream.get()); entry != nullptr; entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) visit(fd, lowers, name, path + "/" + name, depth);
  }

  UpperSummary summary;

 private:
  void visit(int fd, const std::vector<UniqueFd>& lowers, const std::string& name, const std::string& path, int depth) {
    struct stat info {};
    if (::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return;  // The container runs on meanwhile.
      failSystem("look at", path);
    }
    summary.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    if (isWhiteout(info)) return note(path, 'D');
    const bool directory = S_ISDIR(info.st_mode);
    const Below below = lookBelow(lowers, name);
    note(path, below == Below::kNothing ? 'A' : 'C');
    if (!directory || depth >= kMaxDepth) return;
    UniqueFd child = openDirectory(fd, name.c_str());
    if (!child) return;
    std::vector<UniqueFd> childLowers;
    if (below == Below::kDirectory && !isOpaque(child.get())) childLowers = directoriesBelow(lowers, name);
    walk(std::move(child), childLowers, path, depth + 1);
  }

  static Below lookBelow(const std::vector<UniqueFd>& lowers, const std::string& name) {
    for (const UniqueFd& lower : lowers) {
      struct stat info {};
      if (::fstatat(lower.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (isWhiteout(info)) return Below::kNothing;
      return S_ISDIR(info.st_mode) ? Below::kDirectory : Below::kOther;
    }
    return Below::kNothing;
  }

  // The directories that overlay merges under this name: down to the first that is opaque or no directory.
  static std::vector<UniqueFd> directoriesBelow(const std::vector<UniqueFd>& lowers, const std::string& name) {
    std::vector<UniqueFd> merged;
    for (const UniqueFd& lower : lowers) {
      UniqueFd fd = openDirectory(lower.get(), name.c_str());
      if (!fd) {
        if (errno == ENOENT) continue;
        if (errno == EMFILE) failSystem("open", name);
        break;
      }
      const bool last = isOpaque(fd.get());
      merged.push_back(std::move(fd));
      if (last) break;
    }
    return merged;
  }

  void note(const std::string& path, char kind) {
    summary.changeCount++;
    if (summary.changes.size() < limit_) summary.changes.push_back(UpperChange{path, kind});
  }

  size_t limit_;
};

}  // namespace

UpperSummary summarizeUpper(UniqueFd upper, std::vector<UniqueFd> lowers, size_t limit) {
  Walker walker(limit);
  walker.walk(std::move(upper), lowers, "", 0);
  return std::move(walker.summary);
}

}  // namespace gantry::image
