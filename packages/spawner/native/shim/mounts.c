// The steps of the plan that furnish the root, in the plan's order.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "kernel.h"
#include "shim.h"

enum { PROC_MAGIC = 0x9fa0, PROC_ROOT_INODE = 1, MOST_READONLY_LATER = 512 };

static void refuse_link(int root, const char *path, const char *stage) {
  struct open_how_arguments how = {.flags = O_PATH | O_CLOEXEC, .resolve = IN_ROOT | NO_SYMLINKS};
  int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
  if (fd >= 0) close(fd);
  else if (errno == ELOOP) fail(stage, path);
}

static bool set_parameters(int fs, struct cursor *body, bool good) {
  for (uint32_t left = read_u32(body); left > 0 && !body->bad; left--) {
    uint32_t is_string = read_u32(body);
    const char *key = read_string(body), *value = read_string(body);
    if (good) good = sys_fsconfig(fs, is_string ? FS_SET_STRING : FS_SET_FLAG, key, is_string ? value : NULL) == 0;
  }
  return good;
}

// -1 with errno when the kernel refuses. `mode`: of a tmpfs whose mode is not said; else NULL.
static int make_filesystem(struct cursor *body, const char *type, const char *source, uint64_t attributes, const char *mode) {
  int fs = sys_fsopen(type);
  if (fs < 0) return -1;
  bool good = source[0] == 0 || sys_fsconfig(fs, FS_SET_STRING, "source", source) == 0;
  good = good && (mode == NULL || sys_fsconfig(fs, FS_SET_STRING, "mode", mode) == 0);
  good = set_parameters(fs, body, good) && sys_fsconfig(fs, FS_CREATE, NULL, NULL) == 0;
  int mount = good ? sys_fsmount(fs, (unsigned)attributes) : -1;
  int saved = errno;
  close(fs);
  errno = saved;
  return mount;
}

// Mounts that become read-only in the end: places are still to be made in them, for mounts and devices beneath.
static int readonly_later[MOST_READONLY_LATER], readonly_later_count;

static void remember_readonly(int mount, const char *target) {
  if (readonly_later_count == MOST_READONLY_LATER) fail_with(E2BIG, "mount tmpfs", target);
  readonly_later[readonly_later_count++] = mount;
}

void finish_readonly(void) {
  struct mount_attributes attributes = {.attr_set = ATTR_RDONLY};
  for (int index = 0; index < readonly_later_count; index++) {
    if (sys_mount_setattr(readonly_later[index], "", AT_EMPTY_PATH, &attributes) < 0) fail("make mount read-only", "");
    close(readonly_later[index]);
  }
  readonly_later_count = 0;
}

static void mount_filesystem(struct cursor *body, int root) {
  const char *type = read_string(body), *source = read_string(body), *target = read_string(body);
  uint32_t flags = read_u32(body);
  uint64_t attributes = read_u64(body);
  struct mount_attributes spread = {.propagation = read_u64(body)};
  if (body->bad) fail_with(EBADMSG, "read plan", "mount");
  char stage[40];
  snprintf(stage, sizeof stage, "mount %s", type);
  bool is_tmpfs = strcmp(type, "tmpfs") == 0;
  bool later = is_tmpfs && (attributes & ATTR_RDONLY) != 0;
  if (later) attributes &= ~ATTR_RDONLY;
  // Behind a link somebody could exchange it afterwards, and what is masked, made read-only and written beneath its path would be
  // something else (CVE-2019-19921).
  if (strcmp(type, "proc") == 0 || strcmp(type, "sysfs") == 0) refuse_link(root, target, stage);
  int place = open_target(root, target, true);
  struct stat covered;
  if (fstat(place, &covered) < 0) fail(stage, target);
  char mode[8];
  snprintf(mode, sizeof mode, "%o", (unsigned)covered.st_mode & 07777);
  int mount = make_filesystem(body, type, source, attributes, is_tmpfs && !(flags & MOUNT_OWN_MODE) ? mode : NULL);
  if (mount < 0 && !(flags & MOUNT_TOLERATED)) fail(stage, target);
  if (mount >= 0) {
    if (flags & MOUNT_COPY_UP) copy_up(place, mount, (flags & MOUNT_OWN_MODE) == 0, target);
    if (spread.propagation != 0 && sys_mount_setattr(mount, "", AT_EMPTY_PATH, &spread) < 0) fail(stage, target);
    if (sys_attach(mount, place) < 0) fail(stage, target);
    if (later)
      remember_readonly(mount, target);
    else
      close(mount);
  }
  close(place);
}

static void remount(struct cursor *body, int root) {
  const char *target = read_string(body);
  struct mount_attributes attributes = {0};
  attributes.attr_set = read_u64(body);
  attributes.attr_clr = read_u64(body);
  attributes.propagation = read_u64(body);
  int place = sys_open_in_root(root, target, O_PATH);
  if (place < 0) fail("remount", target);
  struct cursor parameters = *body;
  if (read_u32(&parameters) > 0) {
    int fs = sys_fspick(place);
    if (fs < 0 || !set_parameters(fs, body, true) || sys_fsconfig(fs, FS_RECONFIGURE, NULL, NULL) < 0)
      fail("remount", target);
    close(fs);
  }
  if ((attributes.attr_set | attributes.attr_clr | attributes.propagation) != 0 &&
      sys_mount_setattr(place, "", AT_EMPTY_PATH, &attributes) < 0)
    fail("remount", target);
  close(place);
}

static void make_link(struct cursor *body, int root) {
  const char *target = read_string(body), *path = read_string(body), *name;
  int parent;
  refuse_linked_dev(root);
  make_parent(root, path, &parent, &name);
  // What the image or a mount has there already stays.
  if (symlinkat(target, parent, name) < 0 && errno != EEXIST) fail("make link", path);
  close(parent);
}

// The root of a procfs at the root's own /proc, -1 with errno when anything else is there.
static int open_proc(int root) {
  struct open_how_arguments how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = BENEATH | NO_SYMLINKS};
  int proc = (int)syscall(SYS_openat2, root, "proc", &how, sizeof how);
  if (proc < 0) return -1;
  struct statfs facts;
  struct stat status;
  if (fstatfs(proc, &facts) == 0 && fstat(proc, &status) == 0 && facts.f_type == PROC_MAGIC && status.st_ino == PROC_ROOT_INODE)
    return proc;
  close(proc);
  return errno = EXDEV, -1;
}

// Through the container's own /proc, before it becomes partly read-only; the kernel checks that the key is the namespaces' own.
// A mount or a link on the way may lead to another file, another one of procfs among them (CVE-2025-52881): none is followed.
static void write_sysctl(struct cursor *body, int root) {
  const char *key = read_string(body), *value = read_string(body);
  char path[512];
  snprintf(path, sizeof path, "sys/%s", key);
  struct open_how_arguments how = {.flags = O_WRONLY | O_CLOEXEC, .resolve = BENEATH | NO_CROSSING | NO_SYMLINKS};
  int proc = open_proc(root);
  int fd = proc < 0 ? -1 : (int)syscall(SYS_openat2, proc, path, &how, sizeof how);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) fail("set sysctl", key);
  close(fd);
  close(proc);
}

// The host's, opened while its tree is still in sight, and verified: what covers a masked file must be the real null device
// (CVE-2025-31133). Read-only, so that the container cannot change the mode of the host's node through it.
static int clone_null(void) {
  int tree = sys_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE_FLAG);
  struct stat status;
  struct mount_attributes attributes = {.attr_set = ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC};
  if (tree < 0 || fstat(tree, &status) < 0) return -1;
  if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3)) return errno = ENODEV, -1;
  return sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attributes) < 0 ? -1 : tree;
}

static int empty_directory(void) {
  int fs = sys_fsopen("tmpfs");
  if (fs < 0) return -1;
  int mount = -1;
  if (sys_fsconfig(fs, FS_SET_STRING, "mode", "0755") == 0 && sys_fsconfig(fs, FS_SET_STRING, "nr_inodes", "1") == 0 &&
      sys_fsconfig(fs, FS_CREATE, NULL, NULL) == 0)
    mount = sys_fsmount(fs, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC);
  close(fs);
  return mount;
}

static void mask(struct cursor *body, int root, int *empty) {
  const char *path = read_string(body);
  int target = sys_open_in_root(root, path, O_PATH);
  if (target < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    fail("mask path", path);
  }
  struct stat status;
  if (fstat(target, &status) < 0) fail("mask path", path);
  int cover;
  if (S_ISDIR(status.st_mode)) {
    // One empty file system serves all masked directories: attached for the first, cloned from there for the others. (Kept
    // detached it would have to be dissolved in the end, which waits for an RCU grace period.)
    if (*empty < 0)
      cover = *empty = empty_directory();
    else
      cover = sys_open_tree(*empty, "", OPEN_TREE_CLONE_FLAG | AT_EMPTY_PATH);
  } else {
    cover = clone_null();
  }
  if (cover < 0 || sys_attach(cover, target) < 0) fail("mask path", path);
  if (cover != *empty) close(cover);
  close(target);
}

static void make_readonly(struct cursor *body, int root) {
  const char *path = read_string(body);
  int target = sys_open_in_root(root, path, O_PATH);
  if (target < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    fail("make path read-only", path);
  }
  int tree = sys_open_tree(target, "", OPEN_TREE_CLONE_FLAG | AT_EMPTY_PATH | AT_RECURSIVE_FLAG);
  struct mount_attributes attributes = {.attr_set = ATTR_RDONLY};
  if (tree < 0 || sys_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE_FLAG, &attributes) < 0 ||
      sys_attach(tree, target) < 0)
    fail("make path read-only", path);
  close(tree);
  close(target);
}

static void name_host(struct cursor *body, bool domain) {
  const char *name = read_string(body);
  if ((domain ? setdomainname(name, strlen(name)) : sethostname(name, strlen(name))) < 0)
    fail(domain ? "set domain name" : "set host name", name);
}

void run_steps(const struct prepared *prepared, int root) {
  struct cursor records = plan_records(prepared->plan);
  struct record record;
  int bind = 0, empty = -1;
  while (next_record(&records, &record)) {
    struct cursor *body = &record.body;
    switch (record.tag) {
      case TAG_MOUNT_FILESYSTEM: mount_filesystem(body, root); break;
      case TAG_MOUNT_BIND: attach_bind(prepared, bind++, body, root); break;
      case TAG_REMOUNT: remount(body, root); break;
      case TAG_DEVICE: make_device(body, root); break;
      case TAG_LINK: make_link(body, root); break;
      case TAG_SYSCTL: write_sysctl(body, root); break;
      case TAG_HOSTNAME: name_host(body, false); break;
      case TAG_DOMAINNAME: name_host(body, true); break;
      case TAG_MASK: mask(body, root, &empty); break;
      case TAG_READONLY: make_readonly(body, root); break;
      default: continue;
    }
    if (body->bad) fail_with(EBADMSG, "read plan", "step");
  }
  if (empty >= 0) close(empty);
}
