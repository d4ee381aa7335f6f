// The last steps of init: from container root with everything to the process that was asked for.
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kernel.h"
#include "shim.h"

// The kernel's NGROUPS_MAX; the C library's may be less.
enum { MOST_GROUPS = 65536 };

struct capability_sets {
  uint64_t bounding, effective, inheritable, permitted, ambient;
};

// As the host's root, before the user namespace takes these rights away: hard limits are raised (only raised: a small limit
// would hit the work still to do) and the OOM score is set, whose file container root could not open.
void apply_outer_limits(const struct plan *plan) {
  struct cursor records = plan_records(plan);
  struct record record;
  while (next_record(&records, &record)) {
    if (record.tag == TAG_RLIMIT) {
      uint32_t resource = read_u32(&record.body);
      read_u64(&record.body);
      rlim_t hard = read_u64(&record.body);
      const char *name = read_string(&record.body);
      struct rlimit now;
      if (getrlimit((int)resource, &now) < 0) fail("read resource limit", name);
      if (hard > now.rlim_max) {
        now.rlim_max = hard;
        if (setrlimit((int)resource, &now) < 0) fail("raise resource limit", name);
      }
    }
    if (record.tag == TAG_OOM_SCORE_ADJ) {
      char text[16];
      int length = snprintf(text, sizeof text, "%d", (int32_t)read_u32(&record.body));
      int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
      if (fd < 0 || write(fd, text, (size_t)length) != length) fail("set oom_score_adj", text);
      close(fd);
    }
  }
}

static void apply_limits(const struct plan *plan) {
  struct cursor records = plan_records(plan);
  struct record record;
  while (next_record(&records, &record)) {
    if (record.tag != TAG_RLIMIT) continue;
    uint32_t resource = read_u32(&record.body);
    struct rlimit limit = {.rlim_cur = read_u64(&record.body), .rlim_max = read_u64(&record.body)};
    const char *name = read_string(&record.body);
    if (setrlimit((int)resource, &limit) < 0) fail("set resource limit", name);
  }
}

static void drop_bounding(uint64_t keep) {
  for (int number = 0; prctl(PR_CAPBSET_READ, number) >= 0 && number < 64; number++)
    if (!(keep >> number & 1) && prctl(PR_CAPBSET_DROP, number) < 0) fail("drop bounding capability", "");
}

static void set_ids(const struct prepared *prepared) {
  const struct plan *plan = prepared->plan;
  struct record record;
  if (!find_record(plan, TAG_USER, &record)) return;
  uid_t uid = read_u32(&record.body);
  gid_t gid = read_u32(&record.body);
  mode_t mask = read_u32(&record.body);
  uint32_t count = read_u32(&record.body);
  if (count > MOST_GROUPS) fail_with(E2BIG, "set groups", "");
  gid_t *groups = mmap(NULL, (count + 1) * sizeof *groups, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (groups == MAP_FAILED) fail("set groups", "");
  for (uint32_t index = 0; index < count; index++) groups[index] = read_u32(&record.body);
  if (record.body.bad) fail_with(EBADMSG, "read plan", "user");
  umask(mask);
  // A user namespace whose maps were made without privilege has given up setgroups(2): without groups asked for there is nothing to
  // set, those of the host went when it was entered.
  bool is_inside = prepared->user_namespace >= 0 || (prepared->target_namespaces & CLONE_NEWUSER) != 0;
  bool given_up = count == 0 && is_inside;
  if (setgroups(count, groups) < 0 && !(given_up && errno == EPERM)) fail("set groups", "");
  if (setresgid(gid, gid, gid) < 0) fail("set group", "");
  if (setresuid(uid, uid, uid) < 0) fail("set user", "");
}

static uint64_t held_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) fail("read capabilities", "");
  return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void set_capabilities(const struct capability_sets *sets) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {
      {(uint32_t)sets->effective, (uint32_t)sets->permitted, (uint32_t)sets->inheritable},
      {(uint32_t)(sets->effective >> 32), (uint32_t)(sets->permitted >> 32), (uint32_t)(sets->inheritable >> 32)}};
  if (syscall(SYS_capset, &header, data) < 0) fail("set capabilities", "");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int number = 0; number < 64; number++)
    if ((sets->ambient >> number & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0)
      fail("raise ambient capability", "");
}

static char **read_list(const struct plan *plan, uint16_t tag) {
  struct record record;
  uint32_t count = find_record(plan, tag, &record) ? read_u32(&record.body) : 0;
  if (count > 65536) fail_with(E2BIG, "read plan", "list");
  char **list = mmap(NULL, (count + 1) * sizeof *list, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (list == MAP_FAILED) fail("read plan", "list");
  for (uint32_t index = 0; index < count; index++) list[index] = (char *)(uintptr_t)read_string(&record.body);
  if (record.body.bad && count > 0) fail_with(EBADMSG, "read plan", "list");
  return list;
}

static const char *find_path(char **environment) {
  for (; *environment != NULL; environment++)
    if (strncmp(*environment, "PATH=", 5) == 0) return *environment + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

// Fails as execute() would, as far as can be told without executing.
static void find_command(const char *name, char **environment) {
  struct stat status;
  if (strchr(name, '/') != NULL) {
    if (stat(name, &status) < 0) fail("execute", name);
    if (S_ISDIR(status.st_mode)) fail_with(EISDIR, "execute", name);
    if (faccessat(AT_FDCWD, name, X_OK, AT_EACCESS) < 0) fail("execute", name);
    return;
  }
  int answer = ENOENT;
  char candidate[PATH_MAX];
  for (const char *at = find_path(environment); *name != 0;) {
    const char *end = strchrnul(at, ':');
    int size = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)(end - at), at, end == at ? "" : "/", name);
    if (size > 0 && (size_t)size < sizeof candidate && stat(candidate, &status) == 0 && S_ISREG(status.st_mode)) {
      if (faccessat(AT_FDCWD, candidate, X_OK, AT_EACCESS) == 0) return;
      answer = errno;
    }
    if (*end == 0) break;
    at = end + 1;
  }
  fail_with(answer, "execute", name);
}

// As execvp does: the first that exists wins, but one that may not be executed does not hide a later one. The errno that is
// reported tells "not found" (ENOENT, exit code 127) from "cannot be executed" (126).
static noreturn void execute(char **arguments, char **environment) {
  const char *name = arguments[0];
  if (strchr(name, '/') != NULL) {
    struct stat status;
    execve(name, arguments, environment);
    if (errno == EACCES && stat(name, &status) == 0 && S_ISDIR(status.st_mode)) errno = EISDIR;
    fail("execute", name);
  }
  int answer = ENOENT;
  char candidate[PATH_MAX];
  for (const char *at = find_path(environment); *name != 0;) {
    const char *end = strchrnul(at, ':');
    int size = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)(end - at), at, end == at ? "" : "/", name);
    if (size > 0 && (size_t)size < sizeof candidate) {
      struct stat status;
      execve(candidate, arguments, environment);
      if (errno == EACCES && (stat(candidate, &status) < 0 || S_ISDIR(status.st_mode))) errno = ENOENT;
      if (errno != ENOENT && errno != ENOTDIR) answer = errno;
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
    }
    if (*end == 0) break;
    at = end + 1;
  }
  fail_with(answer, "execute", name);
}

// The container is created: init stands still until `start`. Whether the command is there at all is looked up before, so that
// `create` can say so.
static void await_start(int listener, int sync, char **arguments, char **environment) {
  if (listener < 0) return;
  if (arguments[0] != NULL) find_command(arguments[0], environment);
  sync_send(sync, &(struct sync_message){.kind = SYNC_READY}, NULL, 0);
  close(sync);
  accept_start(listener);
  if (arguments[0] == NULL) fail_with(EINVAL, "start container without process", "");
}

noreturn void become_process(const struct prepared *prepared, const struct process_stdio *stdio, int sync, pid_t pid) {
  const struct plan *plan = prepared->plan;
  struct record record;
  char **arguments = read_list(plan, TAG_ARGUMENTS), **environment = read_list(plan, TAG_ENVIRONMENT);
  // A container may be created without a process, which then has to be missing when it is started.
  if (arguments[0] == NULL && prepared->start_socket < 0) fail_with(EINVAL, "read plan", "no arguments");
  if (find_record(plan, TAG_USER, &record)) environment = with_home(environment, read_u32(&record.body));
  struct capability_sets sets = {0};
  if (find_record(plan, TAG_CAPABILITIES, &record)) {
    sets = (struct capability_sets){.bounding = read_u64(&record.body),
                                    .effective = read_u64(&record.body),
                                    .inheritable = read_u64(&record.body),
                                    .permitted = read_u64(&record.body),
                                    .ambient = read_u64(&record.body)};
  }
  // What this process does not hold itself it cannot give (a service without CAP_SYS_RESOURCE, say): the sets shrink to it.
  uint64_t held = held_capabilities();
  sets.effective &= held;
  sets.permitted &= held;
  sets.inheritable &= held;
  sets.ambient &= held;
  // Own session keyring: the host's would be inherited. Kernels without keyrings are fine.
  if (!(prepared->flags & FLAG_KEEP_KEYRING)) syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
  install_stdio(stdio);
  // Neither the working directory nor the command may lead through what was opened for building the container. The channel
  // closes at execve, which tells the launcher that the container has started.
  int start = prepared->start_socket, agent = prepared->seccomp_agent;
  settle_descriptors(prepared, (int *[]){&sync, &start, &agent}, 3);
  failures_go_to_launcher(sync);
  // As container root, who may enter what the user may not: so a working directory with mode 0700 works, as in other runtimes.
  bool in_directory = enter_working_directory(plan, false);
  apply_limits(plan);
  drop_bounding(sets.bounding);
  // Changing the user would otherwise clear the permitted set before it can be chosen.
  if (prctl(PR_SET_KEEPCAPS, 1) < 0) fail("keep capabilities", "");
  // What needs rights that are given up next, or its own system calls.
  apply_inner_scheduling(plan);
  apply_labels(plan);
  set_ids(prepared);
  // Root without CAP_DAC_OVERRIDE, or of a network file system that squashes it, may be the one who is refused.
  if (!in_directory) enter_working_directory(plan, true);
  // Without no_new_privs only CAP_SYS_ADMIN may load a filter, so it is loaded before that goes; otherwise last, so that it
  // need not allow what the other steps use.
  bool last = (prepared->flags & FLAG_NO_NEW_PRIVILEGES) != 0;
  if (!last) {
    await_start(start, sync, arguments, environment);
    run_hooks(plan, HOOK_START_CONTAINER, "created", getpid(), environment);
    set_capabilities(&(struct capability_sets){.effective = held, .permitted = held});
    load_seccomp(plan, agent, pid);
  }
  set_capabilities(&sets);
  if (prctl(PR_SET_KEEPCAPS, 0) < 0 && last) fail("keep capabilities", "");
  die_with_parent(prepared);
  // A shim that died while the changed ids had cleared the signal sends none any more; its end of the channel tells.
  struct pollfd shim_end = {sync, 0, 0};
  if (!(prepared->flags & FLAG_CALLER) && poll(&shim_end, 1, 0) > 0) _exit(1);
  // Ignored signals stay ignored over execve.
  for (int number = 1; number < 65; number++)
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (last) {
    await_start(start, sync, arguments, environment);
    // Before the filter: it is for the container's program, and may not let a hook start.
    run_hooks(plan, HOOK_START_CONTAINER, "created", getpid(), environment);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail("set no_new_privs", "");
    load_seccomp(plan, agent, pid);
  }
  moment(MOMENT_CONFINED);
  execute(arguments, environment);
}
