// The container's root: overlay over id-mapped layers, in the container's own mount namespace; the host never has it mounted.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kernel.h"
#include "shim.h"

static void attach_at(int mount, const char *name, const char *stage) {
  if (mkdir(name, 0700) < 0) fail(stage, name);
  int at = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0 || sys_attach(mount, at) < 0) fail(stage, name);
  close(at);
}

// A tmpfs to attach the layers on. It covers the working directory (`root` in the runtime directory), in this namespace only.
// Attached by descriptor: container root may not even look into that directory by name.
static void enter_scratch(void) {
  int fs = sys_fsopen("tmpfs");
  if (fs < 0) fail("make scratch", "tmpfs");
  if (sys_fsconfig(fs, FS_SET_STRING, "mode", "0700") < 0 || sys_fsconfig(fs, FS_CREATE, NULL, NULL) < 0)
    fail("make scratch", "tmpfs");
  int mount = sys_fsmount(fs, 0);
  if (mount < 0 || sys_attach(mount, AT_FDCWD) < 0 || fchdir(mount) < 0) fail("make scratch", "tmpfs");
  close(mount);
  close(fs);
}

// Layers must be attached before overlay takes them: as detached mounts they are refused (EPERM). Their names are short, so
// that even 256 of them fit into mount(2)'s one page of options.
static void mount_overlay(const struct prepared *prepared) {
  char options[4096], name[16];
  size_t used = (size_t)snprintf(options, sizeof options, "userxattr,lowerdir=");
  for (int index = 0; index < prepared->layer_count; index++) {
    snprintf(name, sizeof name, "%d", index);
    attach_at(prepared->layers[index], name, "attach layer");
    used += (size_t)snprintf(options + used, sizeof options - used, "%s%s", index == 0 ? "" : ":", name);
  }
  if (prepared->writable >= 0) {
    attach_at(prepared->writable, "w", "attach writable directory");
    used += (size_t)snprintf(options + used, sizeof options - used, ",upperdir=w/upper,workdir=w/work");
  }
  // A read-only overlay needs two layers; one alone is bound instead.
  if (prepared->writable < 0 && prepared->layer_count == 1) {
    if (mount("0", "r", NULL, MS_BIND, NULL) < 0) fail("bind layer", "");
    return;
  }
  if (used >= sizeof options) fail_with(E2BIG, "mount overlay", "");
  if (mount("overlay", "r", "overlay", 0, options) < 0) fail("mount overlay", options);
}

int build_root(const struct prepared *prepared) {
  bool own = has_mount_namespace(prepared);
  // Nothing mounted in here may reach the host. What is mounted there later appears in here only where a bind mount asks for it,
  // which must then be cloned from a mount that still listens.
  unsigned long propagation = host_mounts_are_copied(prepared) ? MS_SLAVE : MS_PRIVATE;
  if (own && mount(NULL, "/", NULL, MS_REC | propagation, NULL) < 0) fail("make mounts private", "/");
  umask(0);
  if (prepared->root_directory >= 0) {
    if (sys_attach(prepared->root_directory, AT_FDCWD) < 0) fail("attach root directory", "");
    // Attached where the host's mounts spread it has become one of those that spread: what is mounted in it shall stay there.
    struct mount_attributes attributes = {.propagation = MS_PRIVATE};
    if (!own && sys_mount_setattr(prepared->root_directory, "", AT_EMPTY_PATH | AT_RECURSIVE_FLAG, &attributes) < 0)
      fail("make mounts private", "/");
    int root = dup(prepared->root_directory);
    if (root < 0) fail("open container root", "");
    return root;
  }
  enter_scratch();
  if (mkdir("r", 0700) < 0) fail("make scratch", "r");
  mount_overlay(prepared);
  int root = open("r", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) fail("open container root", "r");
  return root;
}

// Without pivot_root(2), which an initial ramdisk refuses: the old root stays beneath. What of it tells about the machine, and
// would count as a proc or sysfs already in sight, goes first; a user namespace may not take it off and covers it.
static void cover_root(void) {
  static const char *const telling[] = {"/proc", "/sys"};
  for (size_t index = 0; index < sizeof telling / sizeof *telling; index++) {
    if (umount2(telling[index], MNT_DETACH) == 0 || errno == ENOENT) continue;
    if (mount("tmpfs", telling[index], "tmpfs", MS_RDONLY, "nr_inodes=1") < 0) fail("cover host root", telling[index]);
  }
  if (mount(".", "/", NULL, MS_MOVE, NULL) < 0) fail("move root", "");
  if (chroot(".") < 0) fail("change root", "");
}

void enter_root(const struct prepared *prepared, int root) {
  if (fchdir(root) < 0) fail("enter container root", "");
  if (!has_mount_namespace(prepared)) {
    // The namespace's root is the host's: it stays what it is, and a process with CAP_SYS_CHROOT may find its way back to it.
    if (chroot(".") < 0) fail("change root", "");
  } else if (prepared->flags & FLAG_NO_PIVOT) {
    cover_root();
  } else {
    // Stacks the old root over the new one's "/" and takes it off again: needs no directory inside for the old one.
    if (syscall(SYS_pivot_root, ".", ".") < 0) fail("pivot root", "");
    if (umount2(".", MNT_DETACH) < 0) fail("leave host root", "");
  }
  if (chdir("/") < 0) fail("enter container root", "/");

  struct record record;
  struct mount_attributes attributes = {0};
  if (find_record(prepared->plan, TAG_ROOT_PROPAGATION, &record)) {
    attributes.propagation = read_u64(&record.body);
    unsigned flags = read_u32(&record.body) != 0 ? AT_RECURSIVE_FLAG : 0;
    if (sys_mount_setattr(AT_FDCWD, "/", flags, &attributes) < 0) fail("set root propagation", "/");
  }
  // An image's working directory that is missing is made, before the root may become read-only.
  if (find_record(prepared->plan, TAG_WORKING_DIRECTORY, &record)) {
    int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    close(open_target(slash, read_string(&record.body), true));
    close(slash);
  }
  finish_readonly();
  attributes = (struct mount_attributes){.attr_set = ATTR_RDONLY};
  if ((prepared->flags & FLAG_ROOT_READONLY) && sys_mount_setattr(AT_FDCWD, "/", 0, &attributes) < 0)
    fail("make root read-only", "/");
}
