// Namespaces that exist before the container does, and the user namespace that all of its own belong to.
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#include "shim.h"

enum { MAP_UID = 1, MAP_GID = 2, MOST_MAP_WORDS = 3 * 340 };

static bool write_proc(pid_t pid, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t wrote = write(fd, text, strlen(text));
  int saved = errno;
  close(fd);
  errno = saved;
  return wrote == (ssize_t)strlen(text);
}

// newuidmap(1), newgidmap(1): what a user who is not root has been given in /etc/subuid. Takes the map as words.
static bool map_by_helper(pid_t pid, const char *helper, const char *map) {
  char text[8192], number[16], *words[MOST_MAP_WORDS + 3];
  int count = 0;
  snprintf(number, sizeof number, "%d", pid);
  if ((size_t)snprintf(text, sizeof text, "%s", map) >= sizeof text) {
    errno = E2BIG;
    return false;
  }
  words[count++] = (char *)(uintptr_t)helper;
  words[count++] = number;
  for (char *word = strtok(text, " \n"); word != NULL && count < MOST_MAP_WORDS + 2; word = strtok(NULL, " \n"))
    words[count++] = word;
  words[count] = NULL;
  pid_t child = fork();
  if (child == 0) {
    sys_close_range(3, ~0u, 0);
    execvp(helper, words);
    _exit(127);
  }
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  errno = EPERM;
  return false;
}

static void write_map(pid_t pid, uint32_t kind, const char *map) {
  const char *name = kind == MAP_GID ? "gid_map" : "uid_map";
  if (write_proc(pid, name, map)) return;
  if (geteuid() != 0 && errno == EPERM) {
    if (map_by_helper(pid, kind == MAP_GID ? "newgidmap" : "newuidmap", map)) return;
    // One id of our own may be mapped by ourselves, groups only after giving up setgroups(2).
    if (kind == MAP_GID && write_proc(pid, "setgroups", "deny") && write_proc(pid, name, map)) return;
  }
  fail("map ids of user namespace", name);
}

// Lives until its parent has opened the namespace (which closes `*hold`); also when that ends for whatever reason.
static pid_t start_namespace_holder(int *hold) {
  int done[2];
  if (pipe2(done, O_CLOEXEC) < 0) fail("make user namespace", "");
  struct clone_arguments arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  pid_t child = sys_clone3(&arguments);
  if (child < 0) fail("make user namespace", "");
  char byte;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(done[1]);
    _exit(read(done[0], &byte, 1) < 0);
  }
  close(done[0]);
  *hold = done[1];
  return child;
}

static int take_namespace(pid_t child, int hold) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", child);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("open user namespace", path);
  close(hold);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  return fd;
}

int make_user_namespace(const struct plan *plan) {
  int hold;
  pid_t child = start_namespace_holder(&hold);
  struct cursor records = plan_records(plan);
  struct record record;
  while (next_record(&records, &record)) {
    if (record.tag != TAG_ID_MAP) continue;
    uint32_t kind = read_u32(&record.body);
    const char *map = read_string(&record.body);
    if (record.body.bad) fail_with(EBADMSG, "read plan", "id map");
    write_map(child, kind, map);
  }
  return take_namespace(child, hold);
}

int make_mapping(const char *uids, const char *gids) {
  int hold;
  pid_t child = start_namespace_holder(&hold);
  write_map(child, MAP_UID, uids);
  write_map(child, MAP_GID, gids);
  return take_namespace(child, hold);
}

// Until then the ids are the host's, which have no name in there. EPERM: setgroups(2) was given up for the map.
static void become_container_root(void) {
  if (setgroups(0, NULL) < 0 && errno != EPERM) fail("become container root", "");
  if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) fail("become container root", "");
}

static bool has_host_rights(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) fail("read capabilities", "");
  return (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) != 0;
}

// Who is not root has rights in the user namespace alone that was just made, and none to clone mounts of the host: the launcher
// itself goes in, becomes root there, and has a copy of the host's mounts that belongs to it.
void enter_without_host_rights(struct prepared *prepared) {
  if (has_host_rights()) return;
  if (setns(prepared->user_namespace, CLONE_NEWUSER) < 0) fail("join user namespace", "");
  become_container_root();
  if (unshare(CLONE_NEWNS) < 0) fail("make mount namespace", "");
  prepared->is_inside_user_namespace = true;
}

void add_joined(struct prepared *prepared, struct joined_namespace joined) {
  if (prepared->joined_count == MAX_JOINED) fail_with(E2BIG, "open namespace", joined.path);
  prepared->joined[prepared->joined_count++] = joined;
}

void open_joined_namespace(struct prepared *prepared, struct cursor *body) {
  uint64_t kind = read_u64(body);
  const char *path = read_string(body);
  if (body->bad) fail_with(EBADMSG, "read plan", "namespace");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("open namespace", path);
  if (kind == CLONE_NEWUSER) {
    prepared->user_namespace = fd;
    return;
  }
  add_joined(prepared, (struct joined_namespace){fd, kind, path});
}

void enter_given_namespaces(const struct prepared *prepared) {
  if (prepared->target_pidfd >= 0) {
    // All at once: the kernel takes the user namespace first and judges the others by it.
    if (prepared->target_namespaces != 0 && setns(prepared->target_pidfd, (int)prepared->target_namespaces) < 0)
      fail("join container namespaces", "");
    if (!(prepared->target_namespaces & CLONE_NEWUSER)) return;
  } else {
    // Those of the host's owner want our present rights, those of the container's user namespace the rights in there: the ones
    // that refuse now are joined after it.
    bool later[MAX_JOINED] = {false};
    for (int index = 0; index < prepared->joined_count; index++) {
      const struct joined_namespace *one = &prepared->joined[index];
      if (setns(one->fd, (int)one->kind) == 0) continue;
      if (errno != EPERM || prepared->user_namespace < 0) fail("join namespace", one->path);
      later[index] = true;
    }
    if (prepared->user_namespace < 0 || prepared->is_inside_user_namespace) return;
    // In there it may be forbidden: the groups of the host's root go while it is not. Who is not root keeps those it has.
    if (setgroups(0, NULL) < 0 && errno != EPERM) fail("join user namespace", "");
    // It owns every namespace made from here on.
    if (setns(prepared->user_namespace, CLONE_NEWUSER) < 0) fail("join user namespace", "");
    for (int index = 0; index < prepared->joined_count; index++)
      if (later[index] && setns(prepared->joined[index].fd, (int)prepared->joined[index].kind) < 0)
        fail("join namespace", prepared->joined[index].path);
  }
  become_container_root();
}
