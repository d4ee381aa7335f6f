// What the program's parts know of each other. One thread, three lives of one program:
//
//   launcher ──clone3──> stage ──clone3(CLONE_PARENT)──> init ──execve──> the container's first process
//   host namespaces      host → given namespaces         all new namespaces
//   see below            exits at once                   child of the launcher, not of the stage
//
// The launcher goes on as the container's shim, or, with FLAG_CALLER, hands init over to whoever started it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "plan.h"

// Descriptors that the addon hands over. The lock says that an attempt is under way: held from before the shim exists until its
// exit is recorded or its failure about to be told. From FIRST_PRESERVED_FD on: those that the process is to have from 3 on.
enum { PLAN_FD = 3, CONTROL_FD = 4, LOCK_FD = 5, FIRST_PRESERVED_FD = 6 };
enum { MAX_LAYERS = 256, MAX_BINDS = 512, MAX_CGROUPS = 24, MAX_JOINED = 8 };

// A namespace that exists already.
struct joined_namespace {
  int fd;
  uint64_t kind;  // one CLONE_NEW bit
  const char *path;
};

// Everything opened while still in the host's namespaces, for the stage and init to use.
struct prepared {
  const struct plan *plan;
  uint32_t flags;
  uint64_t new_namespaces;
  int user_namespace;                     // -1: none, or the caller's own
  bool is_inside_user_namespace;          // the launcher itself, too
  struct joined_namespace joined[MAX_JOINED];  // all but the user namespace
  int joined_count;
  uint32_t preserved_descriptors;
  int seccomp_agent;                      // connected; -1: none
  int start_socket;                       // listening; init waits for a connection before it executes the command. -1: none
  int target_pidfd;                       // exec: the container's first process
  uint64_t target_namespaces;
  int target_root;                        // exec into a container in the host's mount namespace: its root; -1: the namespace's own
  int cgroup_v2;                     // directory for CLONE_INTO_CGROUP; -1: none
  int cgroup_tasks[MAX_CGROUPS];     // v1 `tasks` files
  const char *cgroup_paths[MAX_CGROUPS];
  int cgroup_tasks_count;
  int memory_cgroup;                 // directory whose OOM kills are counted; -1: none
  bool memory_cgroup_v2;
  int layers[MAX_LAYERS];            // detached mounts, top first
  int layer_count;
  int writable, root_directory;      // detached mounts; -1: none
  int scratch;                       // what init mounts the root on: the root directory itself, or an empty one; -1 for an exec
  int binds[MAX_BINDS];              // detached mounts, in the order of their records; negative: see binds.c
  int bind_count;
};

// The process's stdio, the shim's ends. With a terminal all is in `output`.
struct stdio_ends {
  int input, output, error;
};

struct started {
  pid_t pid;
  int pidfd;
  int64_t started_unix_nanos;
  struct stdio_ends stdio;
};

// --- failure.c: one way to fail, whoever fails
struct failure {
  int32_t error;
  char stage[48];
  char path[512];
};
// Uses errno. In the launcher: tells the service and exits. In stage and init: tells the launcher and exits.
noreturn void fail(const char *stage, const char *path);
noreturn void fail_with(int error, const char *stage, const char *path);
void failures_go_to_service(int control);
void failures_go_to_launcher(int sync);
// Removes this, beside telling it. The name must stay.
void failures_remove(const char *socket);
// Processes that a failure of the launcher ends first; 0: none.
void failures_end(pid_t stage, pid_t init);

// --- sync.c: the channel between the three lives
//
//   stage                 launcher                       init
//     │ ASK_PLACEMENT ──────> │ asks the caller             │   only with FLAG_AWAIT_PLACEMENT
//     │ <──────────────── GO │                             │
//     │ PID ────────────────> │                             │
//                             │ <─────────────── ASK_HOOKS │   host still in sight; only when there is something to do
//                             │ GO (init's pid) ──────────> │
//                             │ <─────────────────── STDIO │   not when stdio is inherited
//                             │ <─────────────────── READY │   only with a start socket; else execve closes the channel
//
// FAILED may come instead of any of them.
enum sync_kind {
  SYNC_PID = 1,
  SYNC_STDIO = 2,
  SYNC_FAILED = 3,
  SYNC_ASK_PLACEMENT = 4,
  SYNC_ASK_HOOKS = 5,
  SYNC_READY = 6,
  SYNC_GO = 7,
};
struct sync_message {
  uint32_t kind;
  int32_t pid;
  struct failure failure;
};
void sync_send(int sync, const struct sync_message *message, const int *fds, int fd_count);
// 0 at the end: every other end of the channel is closed.
int sync_receive(int sync, struct sync_message *message, int *fds, int *fd_count);
// Asks the launcher and waits for its GO; the pid that came with it.
pid_t sync_ask(int sync, enum sync_kind question);

// --- sockets.c
enum { MOST_SENT_DESCRIPTORS = 3 };
// In the working directory, for our own user only. `flags`: of socket(2).
int listen_here(const char *name, int backlog, int flags);
// -1 with errno.
int connect_to(const char *path);
// -1 with errno; EPIPE instead of a signal.
ssize_t send_with_descriptors(int socket, struct iovec *pieces, int count, const int *fds, int fd_count);

// --- namespaces.c
// Made by a child that ends at once; the descriptor keeps it. Fails by fail().
int make_user_namespace(const struct plan *plan);
void enter_without_host_rights(struct prepared *prepared);
// One that nobody enters, for the ids of a mount; lines of uid_map(5) and gid_map(5).
int make_mapping(const char *uids, const char *gids);
void add_joined(struct prepared *prepared, struct joined_namespace joined);
void open_joined_namespace(struct prepared *prepared, struct cursor *body);
// In the stage: what exists already, then the new ones' owner.
void enter_given_namespaces(const struct prepared *prepared);

// --- hooks.c
bool has_hooks(const struct plan *plan, enum hook_kind kind);
// Runs them in order; the first that fails fails the start. `pid`: init's as seen from where the hooks run. `process_environment`:
// for hooks inside the container's root that have none of their own; NULL for those outside.
void run_hooks(const struct plan *plan, enum hook_kind kind, const char *status, pid_t pid, char **process_environment);

// --- caller.c: with FLAG_CALLER
int listen_for_start(void);
// In init: waits for `start`; afterwards failures are told to whoever asked for it.
void accept_start(int listener);
noreturn void watch_for_caller(const struct prepared *prepared, const struct started *started);
// Tells the caller the pid and waits until it has answered.
void await_placement(pid_t pid);

// --- descriptors.c (init)
enum { MOST_KEPT_DESCRIPTORS = 8 };
// Closes all from 3 on but the preserved ones, which are moved to 3 and on, and `*kept` (-1: none), which may get other numbers.
void settle_descriptors(const struct prepared *prepared, int **kept, int count);

// --- prepare.c (launcher, host namespaces)
void prepare(struct prepared *prepared, const struct plan *plan);
struct mount_attributes;
// A detached copy of the mount at `source`, which is closed.
int clone_mount(int source, const char *path, bool recursive, struct mount_attributes *attributes, const char *stage);
// Else the container's mounts are the host's, at the place of its root.
bool has_mount_namespace(const struct prepared *prepared);
// Field 22 of /proc/<pid>/stat; tells a process from a later one with its pid. 0: no such process.
uint64_t process_start_ticks(pid_t pid);
void release_prepared(struct prepared *prepared);

// --- launch.c
void die_with_parent(const struct prepared *prepared);
struct started launch(const struct prepared *prepared);

// --- scheduling.c
// Around making the stage, which inherits them: CPUs an exec runs on before it is in the container's cgroups.
void enter_initial_cpus(const struct plan *plan);
void leave_initial_cpus(void);
// In the stage, as the host's root, in the cgroups.
void apply_outer_scheduling(const struct plan *plan);
// In init, last.
void apply_inner_scheduling(const struct plan *plan);

// --- network_devices.c (stage)
struct device_mover {
  pid_t pid;  // -1: nothing to move
  int go;
};
struct device_mover start_device_mover(const struct plan *plan);
// A new network namespace has its loopback down.
void raise_loopback(void);
void finish_device_mover(const struct device_mover *mover);

// --- new_namespaces.c (stage): around entering the given namespaces. Answers the namespaces that are left for init's clone.
struct namespace_work {
  int offsets_file;
  struct device_mover mover;
};
struct namespace_work begin_namespace_work(const struct prepared *prepared);
uint64_t finish_namespace_work(const struct prepared *prepared, const struct namespace_work *work);

// --- labels.c (init)
void apply_labels(const struct plan *plan);

// --- binds.c (launcher; init)
// Init has the host's mounts as its own before it enters the root, and may do with them what the host's root may.
bool host_mounts_are_copied(const struct prepared *prepared);
void prepare_bind(struct prepared *prepared, struct cursor *body);
void attach_bind(const struct prepared *prepared, int slot, struct cursor *body, int root);

// --- rootfs.c, targets.c, mounts.c (init, new namespaces)
int build_root(const struct prepared *prepared);
void run_steps(const struct prepared *prepared, int root);
void enter_root(const struct prepared *prepared, int root);
// What steps have left writable until everything beneath it is there.
void finish_readonly(void);
// Finds `path` beneath root; makes what is missing, a directory or an empty file at its end. An O_PATH descriptor.
int open_target(int root, const char *path, bool directory);
void make_parent(int root, const char *path, int *parent, const char **name);
// --- devices.c
void refuse_linked_dev(int root);
void make_device(struct cursor *body, int root);

// --- copy_up.c: fills the empty `into` with what is in `from`; `path` is what the place is called.
void copy_up(int from, int into, bool with_mode, const char *path);

// --- stdio.c (init)
struct process_stdio {
  int input, output, error;
  bool terminal;
};
struct process_stdio make_stdio(const struct prepared *prepared, int root, int sync);
void install_stdio(const struct process_stdio *stdio);

// --- working_directory.c (init)
// False when the caller may not enter it and need not (`must`). Fails when it leads out of the container's root.
bool enter_working_directory(const struct plan *plan, bool must);

// The environment, with HOME of the user where it has none or an empty one.
char **with_home(char **environment, uid_t uid);

// --- credentials.c (init)
void apply_outer_limits(const struct plan *plan);
noreturn void become_process(const struct prepared *prepared, const struct process_stdio *stdio, int sync, pid_t pid);

// --- seccomp.c
// In the launcher: whoever answers SCMP_ACT_NOTIFY.
int connect_seccomp_agent(struct cursor *body);
// In init. `agent`: -1 when nobody is asked; `pid`: init's, as the launcher sees it, for the agent.
void load_seccomp(const struct plan *plan, int agent, pid_t pid);

// --- log.c
void log_open(const struct plan *plan);
enum { STREAM_CHUNK = 16384 };
struct stream {
  int fd;
  const char *name;     // "stdout" or "stderr"
  uint16_t frame;       // FRAME_STDOUT or FRAME_STDERR
  size_t length;        // bytes in the buffer
  size_t logged;        // of them, from the start: in the log already
  char *buffer;         // STREAM_CHUNK bytes
  size_t touched;       // of them: memory that a burst has made ours
};
// Takes the whole lines in the buffer for the log; `all`: what is left as well. Part of it is in memory until log_flush.
void log_stream(struct stream *stream, bool all);
void log_flush(void);
struct log_loss {
  uint64_t records, bytes;
  int error;  // why, the last time
};
// What could not be written since the start.
struct log_loss log_lost(void);
// Whether something is still to be written (how much was lost, say) that found no room: log_retry tries again.
bool log_owes(void);
void log_retry(void);
void log_close(void);

// --- json_text.c
// `out` has room for six times the length and eight bytes more.
size_t json_escape(char *out, const char *bytes, size_t length);
// The length without a UTF-8 sequence that is cut off at the end.
size_t whole_characters(const char *bytes, size_t length);

// --- pages.c
void give_start_pages_back(void);

// --- oom.c
// Before the launch, and once more after the exit.
// `killed`: the process ended by SIGKILL, or said that one of its own did.
uint64_t count_oom_kills(const struct prepared *prepared, bool killed);
// From now on every kill is seen as it happens, so that a cgroup removed before the exit was looked at takes no count along.
void watch_oom_kills(const struct prepared *prepared);
// What to poll for that; -1: nothing.
int oom_poll_fd(short *events);
void see_oom_kills(void);

// --- moments.c
// In the order in which they are reached; src/bench-driver.ts reads them by these numbers. CLOCK_MONOTONIC, nanoseconds.
enum moment {
  MOMENT_MAIN,
  MOMENT_PREPARED,
  MOMENT_STAGE,
  MOMENT_CGROUPS,
  MOMENT_NAMESPACES,  // the given ones are joined; the new ones come with init
  MOMENT_INIT,
  MOMENT_ROOT,
  MOMENT_MOUNTS,
  MOMENT_STDIO,
  MOMENT_INSIDE,
  MOMENT_CONFINED,
  MOMENT_EXECUTED,
  MOMENT_RECORDED,
  MOMENTS,
};
void moments_begin(uint32_t flags);
void moment(enum moment which);
// `moments` in the runtime directory.
void moments_write(void);

// --- record.c
int64_t now_unix_nanos(void);
struct exit_facts {
  int32_t code;
  uint32_t signal;
  int64_t exited_unix_nanos;
  uint64_t oom_kills;
  struct log_loss log_lost;
};
void write_start_record(uint32_t attempt, const struct started *started);
void reserve_exit_record(void);
void write_exit_record(uint32_t attempt, const struct exit_facts *facts);

// --- serve.c
struct serving {
  int listener;
  bool terminal, stdin_once, exec;
  bool hold;
  uint64_t oom_kills_before;
  uint32_t attempt;
  struct started started;
  const struct prepared *prepared;
};
noreturn void serve(struct serving *serving);
