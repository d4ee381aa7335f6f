// One function for each kind of tar entry.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "failure.h"
#include "layer_tree.h"
#include "remove_tree.h"
#include "tree_writer.h"

namespace gantry::image {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr std::string_view kAufsPrefix = ".wh..wh.";
constexpr mode_t kPrivateDirectory = 0700;
constexpr mode_t kPrivateFile = 0600;

timespec timeOf(archive_entry* entry) {
  return timespec{archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
}

uid_t idOf(int64_t id, const std::string& path) {
  if (id < 0 || id >= UINT32_MAX) fail(FailureKind::kMalformed, "its entry " + shownName(path) + " has an owner that is no id");
  return static_cast<uid_t>(id);
}

void applyXattrs(int fd, archive_entry* entry, const std::string& path) {
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (!isKeptXattr(name)) continue;
    if (::fsetxattr(fd, name, value, size, 0) != 0) failSystem("set an extended attribute on", path);
  }
}

// Owner first: chown clears set-id bits and capabilities.
void applyOwnerAndMode(int fd, archive_entry* entry, const std::string& path) {
  if (::fchown(fd, idOf(archive_entry_uid(entry), path), idOf(archive_entry_gid(entry), path)) != 0)
    failSystem("set the owner of", path);
  if (::fchmod(fd, archive_entry_perm(entry) & 07777) != 0) failSystem("set the mode of", path);
  if (archive_entry_xattr_count(entry) > 0) applyXattrs(fd, entry, path);
}

void applyTime(int fd, archive_entry* entry, const std::string& path) {
  const timespec times[2] = {timeOf(entry), timeOf(entry)};
  if (::futimens(fd, times) != 0) failSystem("set the times of", path);
}

}  // namespace

void TreeWriter::write(archive* source, archive_entry* entry) {
  entryCount_++;
  const char* raw = archive_entry_pathname(entry);
  if (raw == nullptr || *raw == '\0') fail(FailureKind::kMalformed, "it has an entry without a name");
  const std::string path = cleanPath(raw, "name");
  if (path.empty()) return writeRoot(entry);
  const Place place = placeOf(path, true);
  if (kind_ == TreeKind::kLayer && writeWhiteout(place, path)) return;
  if (archive_entry_hardlink(entry) != nullptr) return writeHardLink(place, entry, path);
  switch (archive_entry_filetype(entry)) {
    case AE_IFDIR: return writeDirectory(place, entry, path);
    case AE_IFREG: return writeFile(place, source, entry, path);
    case AE_IFLNK: return writeSymlink(place, entry, path);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO: return writeNode(place, entry, path);
    default: fail(FailureKind::kMalformed, "its entry " + shownName(path) + " is of a kind that is not known");
  }
}

void TreeWriter::finish() {
  forgetParents();
  for (auto place = directoryTimes_.rbegin(); place != directoryTimes_.rend(); ++place) {
    const UniqueFd fd = place->path.empty() ? UniqueFd(::fcntl(root_->get(), F_DUPFD_CLOEXEC, 0)) : openBeneath(place->path, false);
    if (!fd) continue;  // A later entry replaced it.
    const timespec times[2] = {place->time, place->time};
    if (::futimens(fd.get(), times) != 0) failSystem("set the times of", place->path);
  }
}

template <typename Make>
int TreeWriter::makeOver(const Place& place, const std::string& path, const char* stage, Make make) {
  int made = make();
  if (made < 0 && errno == EEXIST) {
    removeTree(place.parentFd(), place.name);
    forgetParents();
    made = make();
  }
  if (made < 0 && errno == ENAMETOOLONG)
    fail(FailureKind::kMalformed, "it holds a name too long for this file system: " + shownName(path));
  if (made < 0) failSystem(stage, path);
  return made;
}

bool TreeWriter::writeWhiteout(const Place& place, const std::string& path) {
  const std::string_view name = place.name;
  if (!name.starts_with(kWhiteoutPrefix)) return false;
  if (name == kOpaqueMarker) {
    makeOpaque(place.parentFd(), path);
    if (place.parent == root_) opaqueRoot_ = true;
    return true;
  }
  if (name.starts_with(kAufsPrefix)) return true;  // Bookkeeping of aufs, never content.
  const std::string hidden(name.substr(kWhiteoutPrefix.size()));
  if (hidden.empty() || hidden == "." || hidden == "..")
    fail(FailureKind::kHostile, "it holds the whiteout " + shownName(path) + ", which names nothing of its own directory");
  if (::mknodat(place.parentFd(), hidden.c_str(), S_IFCHR, makedev(0, 0)) == 0) return true;
  if (errno != EEXIST) failSystem("make the whiteout", path);
  // The same layer has the name already: the whiteout then concerns the layers below, which only a directory lets through.
  const UniqueFd fd = openDirectory(place.parentFd(), hidden.c_str());
  if (fd) makeOpaque(fd.get(), path);
  return true;
}

void TreeWriter::writeRoot(archive_entry* entry) {
  if (archive_entry_filetype(entry) != AE_IFDIR) fail(FailureKind::kHostile, "it replaces its own root by something that is not a directory");
  applyToDirectory(root_->get(), entry, "");
}

void TreeWriter::writeDirectory(const Place& place, archive_entry* entry, const std::string& path) {
  if (::mkdirat(place.parentFd(), place.name.c_str(), kPrivateDirectory) != 0) {
    if (errno == ENAMETOOLONG) fail(FailureKind::kMalformed, "it holds a name too long for this file system: " + shownName(path));
    if (errno != EEXIST) failSystem("make the directory", path);
    makeDirectoryOver(place.parentFd(), place.name, path);
  }
  if (kind_ == TreeKind::kArchive) return;
  const UniqueFd fd = openDirectory(place.parentFd(), place.name.c_str());
  if (!fd) failSystem("open", path);
  implied_.erase(path);
  applyToDirectory(fd.get(), entry, path);
}

void TreeWriter::applyToDirectory(int fd, archive_entry* entry, const std::string& path) {
  if (kind_ == TreeKind::kArchive) return;
  applyOwnerAndMode(fd, entry, path);
  directoryTimes_.push_back(DirectoryTime{path, timeOf(entry)});
}

void TreeWriter::writeFile(const Place& place, archive* source, archive_entry* entry, const std::string& path) {
  const UniqueFd fd(makeOver(place, path, "make the file", [&] {
    return ::openat(place.parentFd(), place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kPrivateFile);
  }));
  writeData(fd.get(), source, entry, path);
  if (kind_ == TreeKind::kArchive) return;
  applyOwnerAndMode(fd.get(), entry, path);
  applyTime(fd.get(), entry, path);
}

void TreeWriter::writeData(int fd, archive* source, archive_entry* entry, const std::string& path) {
  const int64_t size = archive_entry_size(entry);
  int64_t end = 0;
  for (;;) {
    const void* block = nullptr;
    size_t length = 0;
    int64_t offset = 0;
    const int status = archive_read_data_block(source, &block, &length, &offset);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK) fail(FailureKind::kTruncated, "its entry " + shownName(path) + " ends too early");
    const char* bytes = static_cast<const char*>(block);
    while (length > 0) {
      const ssize_t done = ::pwrite(fd, bytes, length, offset);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) failSystem("write", path);
      bytes += done;
      length -= static_cast<size_t>(done);
      offset += done;
      bytesWritten_ += static_cast<uint64_t>(done);
    }
    end = offset;
  }
  // A sparse file may end in a hole.
  if (end < size && ::ftruncate(fd, size) != 0) failSystem("write", path);
}

void TreeWriter::writeSymlink(const Place& place, archive_entry* entry, const std::string& path) {
  const char* target = archive_entry_symlink(entry);
  if (target == nullptr || *target == '\0') fail(FailureKind::kMalformed, "its link " + shownName(path) + " has no target");
  // The target is content: inside the container it means the container's tree. Nothing here ever follows it out.
  makeOver(place, path, "make the link", [&] { return ::symlinkat(target, place.parentFd(), place.name.c_str()); });
  if (kind_ == TreeKind::kArchive) return;
  if (::fchownat(place.parentFd(), place.name.c_str(), idOf(archive_entry_uid(entry), path),
                 idOf(archive_entry_gid(entry), path), AT_SYMLINK_NOFOLLOW) != 0)
    failSystem("set the owner of", path);
  const timespec times[2] = {timeOf(entry), timeOf(entry)};
  if (::utimensat(place.parentFd(), place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) failSystem("set the times of", path);
}

void TreeWriter::writeHardLink(const Place& place, archive_entry* entry, const std::string& path) {
  const std::string target = cleanPath(archive_entry_hardlink(entry), "hard link target");
  const Place from = placeOf(target, false);
  struct stat old {};
  if (target.empty() || !from.parent->valid() ||
      ::fstatat(from.parentFd(), from.name.c_str(), &old, AT_SYMLINK_NOFOLLOW) != 0)
    fail(FailureKind::kMalformed, "its hard link " + shownName(path) + " names " + shownName(target) + ", which it does not hold");
  if (S_ISDIR(old.st_mode)) fail(FailureKind::kMalformed, "its hard link " + shownName(path) + " names a directory");
  struct stat taken {};
  const bool itself = ::fstatat(place.parentFd(), place.name.c_str(), &taken, AT_SYMLINK_NOFOLLOW) == 0 &&
                      taken.st_ino == old.st_ino && taken.st_dev == old.st_dev;
  if (itself) return;
  makeOver(place, path, "make the hard link", [&] {
    return ::linkat(from.parentFd(), from.name.c_str(), place.parentFd(), place.name.c_str(), 0);
  });
}

// Devices are made as the image says: a container's user namespace cannot open them, and `--userns host` has the device cgroup.
void TreeWriter::writeNode(const Place& place, archive_entry* entry, const std::string& path) {
  if (kind_ == TreeKind::kArchive) fail(FailureKind::kHostile, "it holds the device or pipe " + shownName(path));
  const mode_t type = archive_entry_filetype(entry);
  const dev_t device = type == AE_IFIFO ? 0 : archive_entry_rdev(entry);
  makeOver(place, path, "make the node",
           [&] { return ::mknodat(place.parentFd(), place.name.c_str(), type | kPrivateFile, device); });
  if (::fchownat(place.parentFd(), place.name.c_str(), idOf(archive_entry_uid(entry), path),
                 idOf(archive_entry_gid(entry), path), AT_SYMLINK_NOFOLLOW) != 0)
    failSystem("set the owner of", path);
  // Not a link, made a moment ago in a directory that is ours alone: following is no danger, and fchmodat cannot refrain.
  if (::fchmodat(place.parentFd(), place.name.c_str(), archive_entry_perm(entry) & 07777, 0) != 0)
    failSystem("set the mode of", path);
  const timespec times[2] = {timeOf(entry), timeOf(entry)};
  if (::utimensat(place.parentFd(), place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) failSystem("set the times of", path);
}

}  // namespace gantry::image
