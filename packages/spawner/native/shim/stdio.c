// The process's stdin, stdout and stderr, made by init inside the namespaces: a pipe or terminal made outside would belong to the
// host's root, and the container could not reopen /dev/stdout.
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kernel.h"
#include "shim.h"

enum { DEVPTS_MAGIC = 0x1cd1 };
#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif
#ifndef TIOCSPTLCK
#define TIOCSPTLCK 0x40045431
#endif

static void owner_of_process(const struct plan *plan, uid_t *uid, gid_t *gid) {
  struct record record;
  *uid = *gid = 0;
  if (!find_record(plan, TAG_USER, &record)) return;
  *uid = read_u32(&record.body);
  *gid = read_u32(&record.body);
}

static struct process_stdio make_terminal(const struct prepared *prepared, int root, int sync, uid_t uid) {
  // A running container may have put something else there: only a devpts is taken, and the other end asked of it, not of a path.
  int master = sys_open_in_root(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (master < 0) fail("open terminal", "/dev/pts/ptmx");
  struct statfs facts;
  if (fstatfs(master, &facts) < 0 || facts.f_type != DEVPTS_MAGIC) fail_with(ENOTTY, "open terminal", "/dev/pts/ptmx");
  int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked) < 0) fail("unlock terminal", "");
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) fail("open terminal", "");
  if (uid != 0 && fchown(slave, uid, (gid_t)-1) < 0) fail("give terminal to user", "");
  struct record record;
  if (find_record(prepared->plan, TAG_WINDOW, &record)) {
    uint32_t rows = read_u32(&record.body), columns = read_u32(&record.body);
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    ioctl(master, TIOCSWINSZ, &size);
  }
  if (!(prepared->flags & FLAG_EXEC)) {
    int console = sys_open_tree(slave, "", OPEN_TREE_CLONE_FLAG | AT_EMPTY_PATH);
    int target = console < 0 ? -1 : open_target(root, "/dev/console", false);
    if (target < 0 || sys_attach(console, target) < 0) fail("bind console", "/dev/console");
    close(target);
    close(console);
  }
  sync_send(sync, &(struct sync_message){.kind = SYNC_STDIO}, &master, 1);
  close(master);
  return (struct process_stdio){slave, slave, slave, true};
}

// The caller's own. Given to the user, who could not open /dev/stdout again otherwise; what may not be given stays as it is.
static struct process_stdio inherited_stdio(uid_t uid) {
  struct stat null, status;
  bool have_null = stat("/dev/null", &null) == 0;
  for (int fd = 0; fd < 3; fd++) {
    if (fstat(fd, &status) < 0 || status.st_uid == uid || (have_null && status.st_rdev == null.st_rdev)) continue;
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || S_ISCHR(status.st_mode))
      if (fchown(fd, uid, (gid_t)-1) < 0) continue;
  }
  return (struct process_stdio){0, 1, 2, false};
}

struct process_stdio make_stdio(const struct prepared *prepared, int root, int sync) {
  uid_t uid;
  gid_t gid;
  owner_of_process(prepared->plan, &uid, &gid);
  if (prepared->flags & FLAG_TERMINAL) return make_terminal(prepared, root, sync, uid);
  if (prepared->flags & FLAG_CALLER) return inherited_stdio(uid);

  int input[2] = {0, -1}, output[2], error[2];
  bool open_stdin = (prepared->flags & FLAG_OPEN_STDIN) != 0;
  if (pipe2(output, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0 || (open_stdin && pipe2(input, O_CLOEXEC) < 0))
    fail("make pipes", "");
  int inner[] = {output[1], error[1], input[0]};
  for (int index = 0; index < (open_stdin ? 3 : 2) && (uid | gid) != 0; index++)
    if (fchown(inner[index], uid, gid) < 0) fail("give pipes to user", "");
  int outer[] = {output[0], error[0], input[1]};
  sync_send(sync, &(struct sync_message){.kind = SYNC_STDIO}, outer, open_stdin ? 3 : 2);
  for (int index = 0; index < (open_stdin ? 3 : 2); index++) close(outer[index]);
  // Without stdin it is the shim's own: /dev/null.
  return (struct process_stdio){input[0], output[1], error[1], false};
}

void install_stdio(const struct process_stdio *stdio) {
  if (stdio->terminal && ioctl(stdio->input, TIOCSCTTY, 0) < 0) fail("take controlling terminal", "");
  if (dup2(stdio->input, 0) < 0 || dup2(stdio->output, 1) < 0 || dup2(stdio->error, 2) < 0) fail("install stdio", "");
}
