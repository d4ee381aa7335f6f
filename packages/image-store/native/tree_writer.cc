#include "tree_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "failure.h"
#include "layer_tree.h"

namespace gantry::image {
namespace {

constexpr mode_t kDefaultDirectoryMode = 0755;

}  // namespace

// Names from outside end up in messages: what a terminal could take for a command is shown as '?'.
std::string shownName(std::string_view raw) {
  std::string text(raw.substr(0, 200));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

void makeOpaque(int directoryFd, const std::string& path) {
  if (::fsetxattr(directoryFd, kOpaqueXattr, "y", 1, 0) != 0) failSystem("set user.overlay.opaque on", path);
}

std::string cleanPath(std::string_view raw, const char* what) {
  if (raw.starts_with('/'))
    fail(FailureKind::kHostile, std::string("it holds the absolute ") + what + " " + shownName(raw));
  std::string path;
  path.reserve(raw.size());
  for (size_t from = 0; from < raw.size();) {
    const size_t to = std::min(raw.find('/', from), raw.size());
    const std::string_view part = raw.substr(from, to - from);
    from = to + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..")
      fail(FailureKind::kHostile, std::string("it holds the ") + what + " " + shownName(raw) + ", which climbs with ..");
    if (!path.empty()) path.push_back('/');
    path.append(part);
  }
  if (path.size() >= 4096) fail(FailureKind::kMalformed, std::string("it holds a ") + what + " of more than 4095 bytes");
  return path;
}

TreeWriter::TreeWriter(UniqueFd root, TreeKind kind)
    : root_(std::make_shared<const UniqueFd>(std::move(root))), kind_(kind) {}

TreeWriter::Place TreeWriter::placeOf(const std::string& path, bool make) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {root_, path};
  return {openParent(path.substr(0, slash), make), path.substr(slash + 1)};
}

TreeWriter::Directory TreeWriter::openParent(const std::string& path, bool make) {
  const auto holds = [&](const OpenDirectory& slot) { return slot.directory && slot.path == path; };
  if (holds(parents_[lastParent_])) return parents_[lastParent_].directory;
  for (size_t i = 0; i < parents_.size(); i++) {
    if (!holds(parents_[i])) continue;
    lastParent_ = i;
    return parents_[i].directory;
  }
  auto directory = std::make_shared<const UniqueFd>(openBeneath(path, make));
  if (!directory->valid()) return directory;
  nextParent_ = (nextParent_ + 1) % parents_.size();
  lastParent_ = nextParent_;
  parents_[lastParent_] = OpenDirectory{path, directory};
  return directory;
}

std::vector<std::string> TreeWriter::impliedDirectories() const { return {implied_.begin(), implied_.end()}; }

void TreeWriter::forgetParents() {
  for (OpenDirectory& parent : parents_) parent.directory.reset();
}

// Not valid when there is no such directory and none is to be made.
UniqueFd TreeWriter::openBeneath(const std::string& path, bool make) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root_->get(), path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    switch (errno) {
      case EINTR:
      case EAGAIN: continue;
      case EXDEV:
      case ELOOP:
        fail(FailureKind::kHostile, "it holds a name below " + shownName(path) + ", which a link leads out of the tree");
      case ENAMETOOLONG:
        fail(FailureKind::kMalformed, "it holds a name too long for this file system: " + shownName(path));
      case ENOENT:
      case ENOTDIR:
        if (make) return makeParents(path);
        return {};
      default: failSystem("open", path);
    }
  }
}

// Tars may leave directories out. They become 0755 root's, unless a layer below turns out to know better.
UniqueFd TreeWriter::makeParents(const std::string& path) {
  const size_t slash = path.rfind('/');
  const bool top = slash == std::string::npos;
  const std::string name = top ? path : path.substr(slash + 1);
  const UniqueFd above =
      top ? UniqueFd(::fcntl(root_->get(), F_DUPFD_CLOEXEC, 0)) : openBeneath(path.substr(0, slash), true);
  if (!above) failSystem("open", path);
  if (::mkdirat(above.get(), name.c_str(), kDefaultDirectoryMode) == 0) {
    if (::fchmodat(above.get(), name.c_str(), kDefaultDirectoryMode, 0) != 0) failSystem("set the mode of", path);
    implied_.insert(path);
  } else if (errno != EEXIST) {
    failSystem("make the directory", path);
  } else {
    struct stat info {};
    if (::fstatat(above.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) failSystem("look at", path);
    if (isWhiteout(info)) makeDirectoryOver(above.get(), name, path);
  }
  UniqueFd made = openBeneath(path, false);
  if (!made) fail(FailureKind::kMalformed, "it holds a name below " + shownName(path) + ", which is not a directory");
  return made;
}

// Replaces what is not a directory; over a whiteout, the new one also hides the lower layers' directory of that name.
void TreeWriter::makeDirectoryOver(int parentFd, const std::string& name, const std::string& path) {
  struct stat info {};
  if (::fstatat(parentFd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) failSystem("look at", path);
  if (S_ISDIR(info.st_mode)) return;
  if (::unlinkat(parentFd, name.c_str(), 0) != 0) failSystem("replace", path);
  forgetParents();
  if (::mkdirat(parentFd, name.c_str(), kDefaultDirectoryMode) != 0) failSystem("make the directory", path);
  if (!isWhiteout(info)) return;
  const UniqueFd fd(::openat(parentFd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) failSystem("open", path);
  makeOpaque(fd.get(), path);
}

}  // namespace gantry::image
