#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <gantry/unique_fd.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::image {

// What is written: a layer exactly as its tar says, or an archive of files that are only material for us.
enum class TreeKind { kLayer, kArchive };

// Writes tar entries below one open directory and nowhere else.
//
// Parents are opened with openat2(RESOLVE_BENEATH), last components are made with *at calls that follow nothing, so a link in
// the archive can never lead a later entry out of the tree.
class TreeWriter {
 public:
  TreeWriter(UniqueFd root, TreeKind kind);

  // Writes one entry; its data is read from the archive. Throws Failure.
  void write(archive* source, archive_entry* entry);
  // Sets the times of directories, which the entries below them have disturbed.
  void finish();

  [[nodiscard]] uint64_t bytesWritten() const noexcept { return bytesWritten_; }
  [[nodiscard]] uint64_t entryCount() const noexcept { return entryCount_; }
  // Directories that were made because something below them was named, parents first.
  [[nodiscard]] std::vector<std::string> impliedDirectories() const;
  // The layer hides everything below it.
  [[nodiscard]] bool opaqueRoot() const noexcept { return opaqueRoot_; }

 private:
  // Shared, so that dropping a directory from the cache leaves the entry being written its own.
  using Directory = std::shared_ptr<const UniqueFd>;
  struct Place {
    Directory parent;
    std::string name;

    [[nodiscard]] int parentFd() const noexcept { return parent->get(); }
  };
  struct OpenDirectory {
    std::string path;
    Directory directory;
  };
  struct DirectoryTime {
    std::string path;
    timespec time;
  };

  Place placeOf(const std::string& path, bool make);
  Directory openParent(const std::string& path, bool make);
  UniqueFd openBeneath(const std::string& path, bool make);
  UniqueFd makeParents(const std::string& path);
  void forgetParents();

  bool writeWhiteout(const Place& place, const std::string& path);
  void writeRoot(archive_entry* entry);
  void writeDirectory(const Place& place, archive_entry* entry, const std::string& path);
  void writeFile(const Place& place, archive* source, archive_entry* entry, const std::string& path);
  void writeData(int fd, archive* source, archive_entry* entry, const std::string& path);
  void writeSymlink(const Place& place, archive_entry* entry, const std::string& path);
  void writeHardLink(const Place& place, archive_entry* entry, const std::string& path);
  void writeNode(const Place& place, archive_entry* entry, const std::string& path);
  void applyToDirectory(int fd, archive_entry* entry, const std::string& path);
  void makeDirectoryOver(int parentFd, const std::string& name, const std::string& path);
  // Runs `make` and, when the name is taken, once more after removing what has it: the later entry of a tar wins.
  template <typename Make>
  int makeOver(const Place& place, const std::string& path, const char* stage, Make make);

  Directory root_;
  TreeKind kind_;
  std::array<OpenDirectory, 16> parents_;
  size_t lastParent_ = 0;
  size_t nextParent_ = 0;
  std::vector<DirectoryTime> directoryTimes_;
  std::set<std::string> implied_;
  uint64_t bytesWritten_ = 0;
  uint64_t entryCount_ = 0;
  bool opaqueRoot_ = false;
};

// "./a//b/" becomes "a/b", the root becomes "". Refuses names that lead out of the tree; `what` tells what the name is.
std::string cleanPath(std::string_view raw, const char* what);
// A name from outside, fit for a message.
std::string shownName(std::string_view raw);
// Hides the lower layers' content of this directory, in the form that overlay's `userxattr` reads.
void makeOpaque(int directoryFd, const std::string& path);

}  // namespace gantry::image
