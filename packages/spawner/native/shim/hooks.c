// Hooks of the runtime-spec that run on the way to the container's command. They read the container's state on stdin.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kernel.h"
#include "shim.h"

enum { MOST_WORDS = 4096 };

static char **read_words(struct cursor *body) {
  uint32_t count = read_u32(body);
  if (count > MOST_WORDS) fail_with(E2BIG, "read plan", "hook");
  char **words = mmap(NULL, (count + 1) * sizeof *words, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (words == MAP_FAILED) fail("read plan", "hook");
  for (uint32_t index = 0; index < count; index++) words[index] = (char *)(uintptr_t)read_string(body);
  return words;
}

// {"ociVersion":…,"status":"<status>","pid":<pid>…}: the plan has what stands before the status, and after the pid.
static int state_file(const struct plan *plan, const char *status, pid_t pid) {
  struct record record;
  if (!find_record(plan, TAG_STATE, &record)) fail_with(EBADMSG, "read plan", "no state");
  const char *before = read_string(&record.body), *after = read_string(&record.body);
  // A file, not a pipe: a hook that does not read cannot hold anybody up, whatever the size of the annotations.
  int fd = memfd_create("state", MFD_CLOEXEC);
  if (fd < 0) fail("write state for hook", "");
  if (dprintf(fd, "%s%s\",\"pid\":%d%s\n", before, status, pid, after) < 0 || lseek(fd, 0, SEEK_SET) < 0)
    fail("write state for hook", "");
  return fd;
}

// Hooks look for the root file system from the bundle; inside the container there is none.
static void enter_bundle(const struct plan *plan) {
  struct record record;
  if (!find_record(plan, TAG_STATE, &record)) return;
  read_string(&record.body);
  read_string(&record.body);
  const char *bundle = read_string(&record.body);
  // Who may not enter it, as root of a user namespace, stays where he is.
  if (!record.body.bad && *bundle != 0 && chdir(bundle) < 0) return;
}

static noreturn void become_hook(int state, const char *path, char **arguments, char **environment) {
  for (int number = 1; number < 65; number++)
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  setsid();
  // What it says is for whoever reads our errors; our output may be the container's.
  if (dup2(state, 0) < 0 || dup2(2, 1) < 0) _exit(126);
  sys_close_range(3, ~0u, 0);
  execve(path, arguments, environment);
  dprintf(2, "hook %s: %s\n", path, strerror(errno));
  _exit(errno == ENOENT ? 127 : 126);
}

// The hook's exit status as waitpid gives it, or -1 when its time was over and it was killed with all it had started.
static int wait_for_hook(pid_t hook, uint32_t timeout_seconds) {
  int status = -1;
  if (timeout_seconds > 0) {
    int pidfd = sys_pidfd_open(hook);
    struct pollfd ended = {pidfd, POLLIN, 0};
    int answer;
    do answer = poll(&ended, 1, (int)timeout_seconds * 1000);
    while (answer < 0 && errno == EINTR);
    if (pidfd >= 0) close(pidfd);
    if (answer == 0) {
      kill(-hook, SIGKILL);
      kill(hook, SIGKILL);
      while (waitpid(hook, NULL, 0) < 0 && errno == EINTR) continue;
      return -1;
    }
  }
  while (waitpid(hook, &status, 0) < 0)
    if (errno != EINTR) fail("wait for hook", "");
  return status;
}

static void run_hook(const struct plan *plan, struct cursor *body, const char *name, const char *status, pid_t pid,
                     char **process_environment) {
  // Only hooks of the container's own namespaces are given the process's.
  bool outside = process_environment == NULL;
  uint32_t timeout_seconds = read_u32(body);
  bool has_environment = read_u32(body) != 0;
  const char *path = read_string(body);
  char **arguments = read_words(body), **environment = read_words(body);
  if (body->bad) fail_with(EBADMSG, "read plan", "hook");
  if (!has_environment && !outside) environment = process_environment;
  int state = state_file(plan, status, pid);
  pid_t hook = fork();
  if (hook < 0) fail("start hook", path);
  if (hook == 0 && outside) enter_bundle(plan);
  if (hook == 0) become_hook(state, path, arguments, environment);
  close(state);
  int answer = wait_for_hook(hook, timeout_seconds);
  if (answer == 0) return;
  char stage[48], what[512];
  snprintf(stage, sizeof stage, "run %s hook", name);
  if (answer == -1)
    snprintf(what, sizeof what, "%s: not done after %u s", path, timeout_seconds);
  else if (WIFEXITED(answer))
    snprintf(what, sizeof what, "%s: exit status %d", path, WEXITSTATUS(answer));
  else
    snprintf(what, sizeof what, "%s: killed by signal %d", path, WTERMSIG(answer));
  fail_with(answer == -1 ? ETIMEDOUT : ECANCELED, stage, what);
}

bool has_hooks(const struct plan *plan, enum hook_kind kind) {
  struct cursor records = plan_records(plan);
  struct record record;
  while (next_record(&records, &record))
    if (record.tag == TAG_HOOK && read_u32(&record.body) == (uint32_t)kind) return true;
  return false;
}

void run_hooks(const struct plan *plan, enum hook_kind kind, const char *status, pid_t pid, char **process_environment) {
  static const char *const names[] = {[HOOK_PRESTART] = "prestart",
                                      [HOOK_CREATE_RUNTIME] = "createRuntime",
                                      [HOOK_CREATE_CONTAINER] = "createContainer",
                                      [HOOK_START_CONTAINER] = "startContainer"};
  struct cursor records = plan_records(plan);
  struct record record;
  while (next_record(&records, &record))
    if (record.tag == TAG_HOOK && read_u32(&record.body) == (uint32_t)kind)
      run_hook(plan, &record.body, names[kind], status, pid, process_environment);
}
