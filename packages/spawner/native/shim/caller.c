// The launcher when whoever started it watches the container itself: `gantry-oci`, and conmon or containerd above it.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>

#include "kernel.h"
#include "protocol.h"
#include "shim.h"

static void tell(uint16_t kind, const void *body, size_t length) {
  unsigned char frame[sizeof(struct frame_header) + 64];
  struct frame_header header = {(uint32_t)length, kind, 0};
  memcpy(frame, &header, sizeof header);
  memcpy(frame + sizeof header, body, length);
  // A caller that was killed hears nothing; the container is not to suffer from it.
  send(CONTROL_FD, frame, sizeof header + length, MSG_NOSIGNAL);
}

// --- start

// In the state directory, which only root may enter.
int listen_for_start(void) { return listen_here("start.sock", 4, 0); }

void accept_start(int listener) {
  int fd;
  do fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (fd < 0) _exit(1);
  close(listener);
  // From here on execve closes the last end: that is how `start` learns that all went well.
  failures_go_to_service(fd);
}

void await_placement(pid_t pid) {
  uint32_t told = (uint32_t)pid;
  tell(FRAME_PLACE, &told, sizeof told);
  struct frame_header answer;
  ssize_t got;
  do got = recv(CONTROL_FD, &answer, sizeof answer, MSG_WAITALL);
  while (got < 0 && errno == EINTR);
  if (got != sizeof answer || answer.kind != FRAME_RELEASE) fail_with(ECANCELED, "place the container", "");
}

// --- descriptors for others

// What goes with it is its name in other runtimes, and nobody reads more than that there is one.
static void hand_over(const char *path, const char *what, const char *name, int descriptor) {
  char stage[48];
  snprintf(stage, sizeof stage, "send %s to its socket", what);
  int fd = connect_to(path);
  struct iovec piece = {(void *)(uintptr_t)name, strlen(name)};
  if (fd < 0 || send_with_descriptors(fd, &piece, 1, &descriptor, 1) < 0) fail(stage, path);
  close(fd);
}

// --- terminal

static int outer = -1;
static struct termios outer_before;

static void make_raw(void) {
  if (tcgetattr(0, &outer_before) < 0) return;
  outer = 0;
  struct termios raw = outer_before;
  cfmakeraw(&raw);
  tcsetattr(0, TCSADRAIN, &raw);
}

static void restore_terminal(void) {
  if (outer >= 0) tcsetattr(outer, TCSADRAIN, &outer_before);
}

static volatile sig_atomic_t window_changed = 1;
static void note_window(int signal) {
  (void)signal;
  window_changed = 1;
}

static void copy_window(int terminal) {
  struct winsize size;
  window_changed = 0;
  if (ioctl(0, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) ioctl(terminal, TIOCSWINSZ, &size);
}

// Some of what is there, all of it written: false at the end.
static bool copy_some(int from, int to) {
  char buffer[16384];
  ssize_t got = read(from, buffer, sizeof buffer);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  for (ssize_t done = 0; done < got;) {
    ssize_t wrote = write(to, buffer + done, (size_t)(got - done));
    if (wrote >= 0) {
      done += wrote;
      continue;
    }
    if (errno != EINTR && errno != EAGAIN) return false;
    poll(&(struct pollfd){to, POLLOUT, 0}, 1, 1000);
  }
  return got > 0;
}

// Input that the terminal has no room for yet.
struct pending {
  char bytes[4096];
  size_t from, length;
};

// False at the end of input.
static bool take_input(struct pending *pending) {
  ssize_t got = read(0, pending->bytes, sizeof pending->bytes);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (got <= 0) return false;
  pending->from = 0;
  pending->length = (size_t)got;
  return true;
}

static void give_input(int terminal, struct pending *pending) {
  ssize_t wrote = write(terminal, pending->bytes + pending->from, pending->length);
  if (wrote < 0) {
    if (errno != EINTR && errno != EAGAIN) pending->length = 0;
    return;
  }
  pending->from += (size_t)wrote;
  pending->length -= (size_t)wrote;
}

static void relay(int terminal, int pidfd) {
  struct sigaction action = {.sa_handler = note_window};
  sigaction(SIGWINCH, &action, NULL);
  make_raw();
  // Never waiting for one direction alone: a program that echoes takes no more input while nobody reads what it says.
  fcntl(terminal, F_SETFL, O_RDWR | O_NONBLOCK);
  struct pending input = {.length = 0};
  bool input_open = true, output_open = true, ended = false;
  while (output_open) {
    if (window_changed) copy_window(terminal);
    struct pollfd polls[] = {{input_open && !ended && input.length == 0 ? 0 : -1, POLLIN, 0},
                             {terminal, (short)(POLLIN | (input.length > 0 ? POLLOUT : 0)), 0},
                             {ended ? -1 : pidfd, POLLIN, 0}};
    // After the end: what the terminal still holds. A process left behind may keep it open.
    int ready = poll(polls, 3, ended ? 100 : -1);
    if (ready < 0) continue;
    if (ready == 0) break;
    if (polls[0].revents && !take_input(&input)) input_open = false;
    if (polls[1].revents & POLLOUT) give_input(terminal, &input);
    // EIO: no process has it open, which is the end unless init is still there to open it again.
    if ((polls[1].revents & ~POLLOUT) && !copy_some(terminal, 1)) {
      if (ended)
        output_open = false;
      else
        poll(&polls[2], 1, 50);
    }
    if (polls[2].revents) {
      ended = true;
      input.length = 0;
    }
  }
  restore_terminal();
}

noreturn void watch_for_caller(const struct prepared *prepared, const struct started *started) {
  struct record record;
  int terminal = started->stdio.output;
  failures_end(0, started->pid);
  if (find_record(prepared->plan, TAG_PIDFD_SOCKET, &record))
    hand_over(read_string(&record.body), "pidfd", "pidfd", started->pidfd);
  bool handed_over = terminal >= 0 && find_record(prepared->plan, TAG_CONSOLE_SOCKET, &record);
  if (handed_over) {
    hand_over(read_string(&record.body), "terminal", "/dev/ptmx", terminal);
    close(terminal);
  }
  failures_end(0, 0);
  unsigned char body[20];
  uint32_t version = SHIM_PROTOCOL_VERSION, pid = (uint32_t)started->pid, own = (uint32_t)getpid();
  memcpy(body, &version, 4);
  memcpy(body + 4, &pid, 4);
  memcpy(body + 8, &own, 4);
  memcpy(body + 12, &started->started_unix_nanos, 8);
  tell(FRAME_STARTED, body, sizeof body);
  if ((prepared->flags & FLAG_DETACH) || prepared->start_socket >= 0) _exit(0);

  if (terminal >= 0 && !handed_over) relay(terminal, started->pidfd);
  siginfo_t info = {0};
  while (waitid(P_PIDFD, (id_t)started->pidfd, &info, WEXITED) < 0)
    if (errno != EINTR) _exit(1);
  int32_t code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  uint32_t signal = info.si_code == CLD_EXITED ? 0 : (uint32_t)info.si_status;
  int64_t at = now_unix_nanos();
  uint64_t oom_kills = count_oom_kills(prepared, code == 128 + SIGKILL);
  unsigned char told[24];
  memcpy(told, &code, 4);
  memcpy(told + 4, &signal, 4);
  memcpy(told + 8, &at, 8);
  memcpy(told + 16, &oom_kills, 8);
  tell(FRAME_EXIT, told, sizeof told);
  _exit(0);
}
