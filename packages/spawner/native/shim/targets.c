// Mount targets beneath a root that may be hostile: every step goes through openat2(RESOLVE_IN_ROOT), so an image's symlink is
// followed as the container would follow it and never out of its root.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel.h"
#include "shim.h"

enum { MOST_LINKS = 16 };

static int open_parent(int root, const char *path, size_t length) {
  char text[PATH_MAX];
  if (length == 0) return sys_open_in_root(root, ".", O_PATH | O_DIRECTORY);
  memcpy(text, path, length);
  text[length] = 0;
  return sys_open_in_root(root, text, O_PATH | O_DIRECTORY);
}

// A dangling link at path[from, to): the path that goes on through what it points to, for another try.
static bool expand_link(int parent, char *path, size_t from, size_t to) {
  char name[NAME_MAX + 1], link[PATH_MAX], whole[PATH_MAX];
  snprintf(name, sizeof name, "%.*s", (int)(to - from), path + from);
  ssize_t got = readlinkat(parent, name, link, sizeof link - 1);
  if (got < 0) return false;
  link[got] = 0;
  int base = link[0] == '/' ? 0 : (int)from;
  int size = snprintf(whole, sizeof whole, "%.*s%s%s", base, path, link, path + to);
  if (size < 0 || (size_t)size >= sizeof whole) return errno = ENAMETOOLONG, false;
  memcpy(path, whole, (size_t)size + 1);
  return true;
}

static bool make_entry(int parent, const char *path, size_t from, size_t to, bool directory) {
  char name[NAME_MAX + 1];
  if (to - from > NAME_MAX) return errno = ENAMETOOLONG, false;
  snprintf(name, sizeof name, "%.*s", (int)(to - from), path + from);
  if (directory) return mkdirat(parent, name, 0755) == 0;
  int fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  close(fd);
  return true;
}

// Makes the first part of `path` that is missing. 1: made or already there; 0: `path` was rewritten through a link; -1: errno.
static int make_missing(int root, char *path, bool directory) {
  size_t at = 0;
  for (;;) {
    while (path[at] == '/') at++;
    size_t from = at;
    while (path[at] != 0 && path[at] != '/') at++;
    if (from == at) return 1;
    size_t rest = at;
    while (path[rest] == '/') rest++;
    bool last = path[rest] == 0;
    int parent = open_parent(root, path, from);
    if (parent < 0) return -1;
    int answer = 1;
    if (!make_entry(parent, path, from, at, !last || directory)) {
      answer = -1;
      if (errno == EEXIST) {
        char prefix[PATH_MAX];
        snprintf(prefix, sizeof prefix, "%.*s", (int)at, path);
        int there = sys_open_in_root(root, prefix, O_PATH);
        if (there >= 0) {
          close(there);
          answer = 1;
        } else if (errno == ENOENT && expand_link(parent, path, from, at)) {
          answer = 0;
        }
      }
    }
    close(parent);
    if (answer != 1 || last) return answer;
  }
}

int open_target(int root, const char *path, bool directory) {
  char text[PATH_MAX];
  if (strlen(path) >= sizeof text) fail_with(ENAMETOOLONG, "find mount target", path);
  strcpy(text, path);
  for (int links = 0; links < MOST_LINKS; links++) {
    int fd = sys_open_in_root(root, text[0] == 0 ? "." : text, O_PATH);
    if (fd >= 0) {
      struct stat status;
      if (fstat(fd, &status) < 0) fail("find mount target", path);
      if (S_ISDIR(status.st_mode) != directory) fail_with(directory ? ENOTDIR : EISDIR, "find mount target", path);
      return fd;
    }
    if (errno != ENOENT) fail("find mount target", path);
    if (make_missing(root, text, directory) < 0) fail("make mount target", path);
  }
  fail_with(ELOOP, "make mount target", path);
}

// For a new entry of its own (a link): opens its directory, made when missing. `name` points into `path`.
void make_parent(int root, const char *path, int *parent, const char **name) {
  const char *slash = strrchr(path, '/');
  *name = slash == NULL ? path : slash + 1;
  char directory[PATH_MAX];
  snprintf(directory, sizeof directory, "%.*s", (int)(*name - path), path);
  *parent = open_target(root, directory, true);
}
