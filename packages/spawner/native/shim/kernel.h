// System calls and constants that the C library does not wrap; written out so that the shim builds against musl without kernel headers.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define CLONE_FILES_FLAG 0x00000400ULL
#define CLONE_INTO_CGROUP_FLAG 0x200000000ULL

#define OPEN_TREE_CLONE_FLAG 1u
#define OPEN_TREE_CLOEXEC_FLAG ((unsigned)O_CLOEXEC)
#define AT_RECURSIVE_FLAG 0x8000u
#define MOVE_FROM_EMPTY 0x00000004u
#define MOVE_TO_EMPTY 0x00000040u
#define FSOPEN_CLOEXEC_FLAG 1u
#define FSMOUNT_CLOEXEC_FLAG 1u
enum { FS_SET_FLAG = 0, FS_SET_STRING = 1, FS_CREATE = 6, FS_RECONFIGURE = 7 };
#define FSPICK_CLOEXEC_FLAG 1u
#define FSPICK_EMPTY_PATH_FLAG 8u

#define ATTR_RDONLY 0x00000001ULL
#define ATTR_NOSUID 0x00000002ULL
#define ATTR_NODEV 0x00000004ULL
#define ATTR_NOEXEC 0x00000008ULL
#define ATTR_IDMAP 0x00100000ULL

#define IN_ROOT 0x10ULL
#define NO_CROSSING 0x01ULL
#define NO_MAGICLINKS 0x02ULL
#define NO_SYMLINKS 0x04ULL
#define BENEATH 0x08ULL

struct mount_attributes {
  uint64_t attr_set, attr_clr, propagation, userns_fd;
};
struct open_how_arguments {
  uint64_t flags, mode, resolve;
};
struct clone_arguments {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static inline int sys_open_tree(int dir, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC_FLAG);
}
static inline int sys_mount_setattr(int dir, const char *path, unsigned flags, struct mount_attributes *attributes) {
  return (int)syscall(SYS_mount_setattr, dir, path, flags, attributes, sizeof *attributes);
}
// Attaches the mount `from` on the very object `to` is open on (AT_FDCWD: the working directory): no path is looked up.
static inline int sys_attach(int from, int to) {
  return (int)syscall(SYS_move_mount, from, "", to, "", MOVE_FROM_EMPTY | MOVE_TO_EMPTY);
}
static inline int sys_fsopen(const char *type) { return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC_FLAG); }
static inline int sys_fsconfig(int fs, unsigned command, const char *key, const char *value) {
  return (int)syscall(SYS_fsconfig, fs, command, key, value, 0);
}
// The file system that is mounted where `at` is open.
static inline int sys_fspick(int at) {
  return (int)syscall(SYS_fspick, at, "", FSPICK_CLOEXEC_FLAG | FSPICK_EMPTY_PATH_FLAG);
}
static inline int sys_fsmount(int fs, unsigned attributes) {
  return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC_FLAG, attributes);
}
// Opens beneath `root` as if it were "/": a symlink made by an image, absolute or with "..", cannot lead out of it.
static inline int sys_open_in_root(int root, const char *path, int flags) {
  struct open_how_arguments how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = IN_ROOT | NO_MAGICLINKS};
  int fd;
  // EAGAIN: something was renamed on the way and the kernel cannot tell whether ".." stayed inside (openat2(2)).
  for (int tries = 0; tries < 64; tries++)
    if ((fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how)) >= 0 || errno != EAGAIN) break;
  return fd;
}
static inline pid_t sys_clone3(struct clone_arguments *arguments) {
  return (pid_t)syscall(SYS_clone3, arguments, sizeof *arguments);
}
static inline int sys_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
static inline int sys_pidfd_signal(int pidfd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}
static inline int sys_close_range(unsigned from, unsigned to, unsigned flags) {
  return (int)syscall(SYS_close_range, from, to, flags);
}
