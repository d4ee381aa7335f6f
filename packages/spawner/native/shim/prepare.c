// Opens everything the container will be made of, while the shim still sees the host. (Bind mounts: binds.c.)
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kernel.h"
#include "shim.h"

enum { CGROUP2_MAGIC = 0x63677270 };

// {path, device, inode}: an object that was replaced under its name is refused, not used.
static int open_handle(struct cursor *body, int flags, const char *stage, const char **path) {
  *path = read_string(body);
  uint64_t device = read_u64(body), inode = read_u64(body);
  if (body->bad) fail_with(EBADMSG, "read plan", stage);
  int fd = open(*path, flags | O_CLOEXEC);
  if (fd < 0) fail(stage, *path);
  struct stat status;
  if (fstat(fd, &status) < 0) fail(stage, *path);
  if (status.st_dev != device || status.st_ino != inode) fail_with(ESTALE, stage, *path);
  return fd;
}

int clone_mount(int source, const char *path, bool recursive, struct mount_attributes *attributes, const char *stage) {
  int tree = sys_open_tree(source, "", OPEN_TREE_CLONE_FLAG | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_FLAG : 0));
  if (tree < 0) fail(stage, path);
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_FLAG : 0);
  // One kind of propagation at a time: a receiver first, which then spreads to peers of its own.
  bool both = attributes->propagation == (MS_SLAVE | MS_SHARED);
  if (both) attributes->propagation = MS_SLAVE;
  if (attributes->attr_set != 0 || attributes->attr_clr != 0 || attributes->propagation != 0)
    if (sys_mount_setattr(tree, "", flags, attributes) < 0) fail(stage, path);
  struct mount_attributes shared = {.propagation = MS_SHARED};
  if (both && sys_mount_setattr(tree, "", flags, &shared) < 0) fail(stage, path);
  close(source);
  return tree;
}

static struct mount_attributes idmap_to(int user_namespace) {
  struct mount_attributes attributes = {0};
  if (user_namespace >= 0) {
    attributes.attr_set = ATTR_IDMAP;
    attributes.userns_fd = (uint64_t)user_namespace;
  }
  return attributes;
}

static bool is_v2(int directory) {
  struct statfs facts;
  return fstatfs(directory, &facts) == 0 && facts.f_type == CGROUP2_MAGIC;
}

static void prepare_cgroup(struct prepared *prepared, struct cursor *body) {
  const char *path;
  int directory = open_handle(body, O_RDONLY | O_DIRECTORY, "open cgroup", &path);
  if (is_v2(directory)) {
    prepared->cgroup_v2 = directory;
    // In hybrid mode the memory controller is elsewhere and this file absent.
    if (faccessat(directory, "memory.events", R_OK, 0) == 0) {
      prepared->memory_cgroup = directory;
      prepared->memory_cgroup_v2 = true;
    }
    return;
  }
  if (prepared->cgroup_tasks_count == MAX_CGROUPS) fail_with(E2BIG, "open cgroup", path);
  int tasks = openat(directory, "tasks", O_WRONLY | O_CLOEXEC);
  if (tasks < 0) fail("open cgroup", path);
  prepared->cgroup_paths[prepared->cgroup_tasks_count] = path;
  prepared->cgroup_tasks[prepared->cgroup_tasks_count++] = tasks;
  if (prepared->memory_cgroup < 0 && faccessat(directory, "memory.oom_control", R_OK, 0) == 0)
    prepared->memory_cgroup = directory;
  else
    close(directory);
}

// The shim's own cgroups. On v1 "0" into `tasks` moves the calling thread without the lock that a write to cgroup.procs takes
// (cgroup_procs_write_start): milliseconds on a busy machine.
static void join_shim_cgroup(struct cursor *body) {
  const char *path;
  int directory = open_handle(body, O_PATH | O_DIRECTORY, "join shim cgroup", &path);
  int file = openat(directory, "tasks", O_WRONLY | O_CLOEXEC);
  if (file < 0) file = openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, "0", 1) != 1) fail("join shim cgroup", path);
  close(file);
  close(directory);
}

uint64_t process_start_ticks(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (got <= 0) return 0;
  text[got] = 0;
  // The second field may hold spaces and parentheses; count from the last one. Start time is field 22.
  char *at = strrchr(text, ')');
  for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
  return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

static void prepare_exec_target(struct prepared *prepared, struct cursor *body) {
  pid_t pid = (pid_t)read_u32(body);
  uint64_t ticks = read_u64(body);
  prepared->target_namespaces = read_u64(body);
  if (body->bad) fail_with(EBADMSG, "read plan", "exec target");
  prepared->target_pidfd = sys_pidfd_open(pid);
  if (prepared->target_pidfd < 0) fail("open container process", "");
  if (!(prepared->target_namespaces & CLONE_NEWNS)) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root", pid);
    prepared->target_root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (prepared->target_root < 0) fail("open container root", path);
  }
  // A pid that was given to another process in the meantime started at another time.
  if (process_start_ticks(pid) != ticks) fail_with(ESRCH, "open container process", "");
}

static void make_scratch(struct prepared *prepared) {
  if (mkdir("root", 0700) < 0 && errno != EEXIST) fail("make scratch", "root");
  prepared->scratch = open("root", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (prepared->scratch < 0) fail("make scratch", "root");
}

bool has_mount_namespace(const struct prepared *prepared) {
  for (int index = 0; index < prepared->joined_count; index++)
    if (prepared->joined[index].kind == CLONE_NEWNS) return true;
  return (prepared->new_namespaces & CLONE_NEWNS) != 0;
}

void prepare(struct prepared *prepared, const struct plan *plan) {
  *prepared = (struct prepared){.plan = plan,
                                .user_namespace = -1,
                                .start_socket = -1,
                                .seccomp_agent = -1,
                                .scratch = -1,
                                .target_pidfd = -1,
                                .target_root = -1,
                                .cgroup_v2 = -1,
                                .memory_cgroup = -1,
                                .writable = -1,
                                .root_directory = -1};
  struct cursor records = plan_records(plan);
  struct record record;
  const char *path;
  while (next_record(&records, &record)) {
    struct cursor *body = &record.body;
    struct mount_attributes idmap;
    switch (record.tag) {
      case TAG_FLAGS: prepared->flags = read_u32(body); break;
      case TAG_NEW_NAMESPACES: prepared->new_namespaces = read_u64(body); break;
      case TAG_SHIM_CGROUP: join_shim_cgroup(body); break;
      case TAG_CGROUP: prepare_cgroup(prepared, body); break;
      case TAG_EXEC_TARGET: prepare_exec_target(prepared, body); break;
      // setns and mount_setattr refuse O_PATH descriptors.
      case TAG_USER_NAMESPACE:
        prepared->user_namespace = open_handle(body, O_RDONLY, "open user namespace", &path);
        break;
      case TAG_NETWORK_NAMESPACE: {
        int fd = open_handle(body, O_RDONLY, "open network namespace", &path);
        add_joined(prepared, (struct joined_namespace){fd, CLONE_NEWNET, path});
        break;
      }
      case TAG_NAMESPACE_PATH: open_joined_namespace(prepared, body); break;
      // The first of its two or more maps; all are read there.
      case TAG_ID_MAP:
        if (prepared->user_namespace >= 0) break;
        prepared->user_namespace = make_user_namespace(plan);
        enter_without_host_rights(prepared);
        break;
      case TAG_PRESERVED_DESCRIPTORS: prepared->preserved_descriptors = read_u32(body); break;
      case TAG_SECCOMP_LISTENER: prepared->seccomp_agent = connect_seccomp_agent(body); break;
      case TAG_START_SOCKET: prepared->start_socket = listen_for_start(); break;
      case TAG_LAYER: {
        if (prepared->layer_count == MAX_LAYERS) fail_with(E2BIG, "open layer", "");
        int fd = open_handle(body, O_PATH | O_DIRECTORY, "open layer", &path);
        idmap = idmap_to(prepared->user_namespace);
        prepared->layers[prepared->layer_count++] = clone_mount(fd, path, false, &idmap, "id-map layer");
        break;
      }
      case TAG_WRITABLE: {
        int fd = open_handle(body, O_PATH | O_DIRECTORY, "open writable directory", &path);
        idmap = idmap_to(prepared->user_namespace);
        prepared->writable = clone_mount(fd, path, false, &idmap, "id-map writable directory");
        break;
      }
      case TAG_ROOT_DIRECTORY: {
        path = read_string(body);
        bool mapped = read_u32(body) != 0;
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) fail("open root directory", path);
        idmap = idmap_to(mapped ? prepared->user_namespace : -1);
        idmap.propagation = MS_PRIVATE;
        // Mounted on its own place, where hooks that run before the root is entered look for it.
        prepared->scratch = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (prepared->scratch < 0) fail("open root directory", path);
        prepared->root_directory = clone_mount(fd, path, true, &idmap, "prepare root directory");
        break;
      }
      case TAG_MOUNT_BIND: prepare_bind(prepared, body); break;
      default: break;
    }
    if (record.body.bad) fail_with(EBADMSG, "read plan", "");
  }
  if (prepared->flags & FLAG_EXEC) return;
  // Else the steps would furnish the host beyond the one place that the caller takes away again.
  if (!has_mount_namespace(prepared) && (prepared->root_directory < 0 || prepared->user_namespace >= 0 || !(prepared->flags & FLAG_CALLER)))
    fail_with(EBADMSG, "read plan", "no mount namespace");
  if (prepared->scratch < 0) make_scratch(prepared);
}

static void close_all(int *fds, int count) {
  for (int index = 0; index < count; index++)
    if (fds[index] >= 0) close(fds[index]);
}

// Closing the last descriptor of a detached mount dissolves it.
void release_prepared(struct prepared *prepared) {
  close_all(prepared->layers, prepared->layer_count);
  close_all(prepared->binds, prepared->bind_count);
  close_all(prepared->cgroup_tasks, prepared->cgroup_tasks_count);
  for (int index = 0; index < prepared->joined_count; index++) close(prepared->joined[index].fd);
  int others[] = {prepared->writable, prepared->root_directory, prepared->user_namespace, prepared->start_socket, prepared->seccomp_agent, prepared->scratch,
                  prepared->target_pidfd, prepared->target_root};
  close_all(others, (int)(sizeof others / sizeof *others));
  if (prepared->cgroup_v2 != prepared->memory_cgroup && prepared->cgroup_v2 >= 0) close(prepared->cgroup_v2);
  prepared->plan = NULL;
}
