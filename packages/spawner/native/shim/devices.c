// Device nodes and fifos, where they can be made: a user namespace has the host's nodes bound instead.
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kernel.h"
#include "shim.h"

enum { ASKED_FOR = 1 };

static bool is_device(const struct stat *status, mode_t mode, dev_t number) {
  if ((status->st_mode & S_IFMT) != (mode & S_IFMT)) return false;
  return S_ISFIFO(mode) || status->st_rdev == number;
}

// The host's tree is still in sight.
static void bind_device(int root, const char *path, const char *source, mode_t mode, dev_t number) {
  struct mount_attributes attributes = {.attr_set = ATTR_NOSUID | ATTR_NOEXEC};
  struct stat status;
  int tree = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE_FLAG);
  if (tree < 0 || fstat(tree, &status) < 0) fail("bind device", source);
  if (!is_device(&status, mode, number)) fail_with(ENODEV, "bind device", source);
  if (sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attributes) < 0) fail("bind device", source);
  int target = open_target(root, path, false);
  if (sys_attach(tree, target) < 0) fail("bind device", path);
  close(target);
  close(tree);
}

// What is put into /dev by itself must not land in a directory of the image's choosing. Behind a link it may only where the
// configuration has mounted something: that is the container's own.
void refuse_linked_dev(int root) {
  struct open_how_arguments how = {.flags = O_PATH | O_CLOEXEC, .resolve = IN_ROOT | NO_SYMLINKS};
  int dev = (int)syscall(SYS_openat2, root, "dev", &how, sizeof how);
  if (dev < 0 && errno == ELOOP) {
    how.resolve = IN_ROOT | NO_MAGICLINKS | NO_CROSSING;
    dev = (int)syscall(SYS_openat2, root, "dev", &how, sizeof how);
    if (dev < 0 && errno == EXDEV) return;
    fail_with(ELOOP, "make device", "/dev");
  }
  if (dev >= 0) close(dev);
}

void make_device(struct cursor *body, int root) {
  const char *path = read_string(body), *source = read_string(body), *name;
  uint32_t flags = read_u32(body), mode = read_u32(body), major = read_u32(body), minor = read_u32(body);
  uint32_t uid = read_u32(body), gid = read_u32(body);
  if (body->bad) fail_with(EBADMSG, "read plan", "device");
  dev_t number = S_ISFIFO(mode) ? 0 : makedev(major, minor);
  int parent;
  make_parent(root, path, &parent, &name);
  if (mknodat(parent, name, mode, number) == 0) {
    if ((uid | gid) != 0 && fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) fail("make device", path);
    close(parent);
    return;
  }
  int reason = errno;
  if (reason == EEXIST) {
    struct stat status;
    bool there = fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && is_device(&status, mode, number);
    if (!there && (flags & ASKED_FOR)) fail_with(EEXIST, "make device", path);
    if (there) {
      close(parent);
      return;
    }
  }
  close(parent);
  // EPERM: not ours to make, by a missing capability or the cgroup's rules. EEXIST: an image's file where a device must be.
  if ((reason != EPERM && reason != EEXIST) || source[0] == 0) fail_with(reason, "make device", path);
  bind_device(root, path, source, mode, number);
}
