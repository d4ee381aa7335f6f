// What a tmpfs covers, copied into it: `tmpcopyup`. Both trees are the container's; links are copied and never followed.
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "kernel.h"
#include "shim.h"

enum { MOST_DEPTH = 128, AT_ONCE = 1 << 30 };

static bool copy_bytes(int from, int into) {
  ssize_t got;
  while ((got = sendfile(into, from, NULL, AT_ONCE)) > 0) continue;
  return got == 0;
}

// Into a file of its own, so that nothing is written through what somebody else puts there.
static bool copy_file(int from_directory, int into_directory, const char *name) {
  int from = openat(from_directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (from < 0) return false;
  int into = openat(into_directory, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  bool good = into >= 0 && copy_bytes(from, into);
  int saved = errno;
  if (into >= 0) close(into);
  close(from);
  errno = saved;
  return good;
}

static bool copy_link(int from, int into, const char *name) {
  char text[PATH_MAX];
  ssize_t got = readlinkat(from, name, text, sizeof text - 1);
  if (got < 0) return false;
  text[got] = 0;
  return symlinkat(text, into, name) == 0;
}

static bool copy_tree(int from, int into, int depth);

static bool copy_directory(int from_directory, int into_directory, const char *name, int depth) {
  if (depth == MOST_DEPTH) return errno = ELOOP, false;
  if (mkdirat(into_directory, name, 0700) < 0) return false;
  int from = openat(from_directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int into = openat(into_directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool good = from >= 0 && into >= 0 && copy_tree(from, into, depth + 1);
  int saved = errno;
  if (from >= 0) close(from);
  if (into >= 0) close(into);
  errno = saved;
  return good;
}

static bool copy_entry(int from, int into, const char *name, int depth) {
  struct stat status;
  if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return false;
  bool good;
  if (S_ISREG(status.st_mode))
    good = copy_file(from, into, name);
  else if (S_ISDIR(status.st_mode))
    good = copy_directory(from, into, name, depth);
  else if (S_ISLNK(status.st_mode))
    good = copy_link(from, into, name);
  else
    good = mknodat(into, name, status.st_mode & (S_IFMT | 0777), status.st_rdev) == 0;
  if (!good || fchownat(into, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0) return false;
  // After the owner, whose change takes set-id bits away.
  if (!S_ISLNK(status.st_mode) && fchmodat(into, name, status.st_mode & 07777, 0) < 0) return false;
  struct timespec times[2] = {status.st_atim, status.st_mtim};
  return utimensat(into, name, times, AT_SYMLINK_NOFOLLOW) == 0;
}

// Directories that are open for reading.
static bool copy_tree(int from, int into, int depth) {
  int own = dup(from);
  DIR *entries = own < 0 ? NULL : fdopendir(own);
  if (entries == NULL) return false;
  struct dirent *entry;
  bool good = true;
  while (good && (errno = 0, entry = readdir(entries)) != NULL)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      good = copy_entry(from, into, entry->d_name, depth);
  good = good && errno == 0;
  int saved = errno;
  closedir(entries);
  errno = saved;
  return good;
}

void copy_up(int from, int into, bool with_mode, const char *path) {
  int source = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int target = openat(into, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat status;
  if (source < 0 || target < 0 || fstat(source, &status) < 0 || !copy_tree(source, target, 0))
    fail("copy up into tmpfs", path);
  if (with_mode && (fchown(target, status.st_uid, status.st_gid) < 0 || fchmod(target, status.st_mode & 07777) < 0))
    fail("copy up into tmpfs", path);
  close(source);
  close(target);
}
