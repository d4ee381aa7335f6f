// The shim's life after the start: one poll loop over the process, its output and the clients. No call in
// here waits for anybody: a write that would block is kept for later, and a client that takes nothing is cut off.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "clients.h"
#include "kernel.h"
#include "shim.h"

enum {
  // The process, the listener, two streams, OOM kills; behind them the clients.
  OWN_POLLS = 5,
  HOLD_SECONDS = 10,
  // After the exit, how long clients have for what is still in their queue.
  LINGER_SECONDS = 5,
  // Of an exec that left background processes writing on: what is still read after its exit.
  MOST_DRAINED = 4 << 20,
  QUIET_MILLISECONDS = 100,
  // From one stream, before anything else has its turn and what was read is in the log.
  READS_AT_ONCE = 8,
  // Where pages are larger, madvise refuses, and the memory is kept.
  PAGE = 4096,
  // How often a log without room is tried again, and told of.
  LOG_MILLISECONDS = 1000,
};

_Alignas(PAGE) static char output_buffer[STREAM_CHUNK], error_buffer[STREAM_CHUNK];
static struct stream output_stream = {.fd = -1, .name = "stdout", .frame = FRAME_STDOUT, .buffer = output_buffer};
static struct stream error_stream = {.fd = -1, .name = "stderr", .frame = FRAME_STDERR, .buffer = error_buffer};

static int64_t quiet_until;

static int64_t now_millis(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void set_nonblocking(int fd) {
  if (fd >= 0) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void compact(struct stream *stream) {
  stream->length -= stream->logged;
  memmove(stream->buffer, stream->buffer + stream->logged, stream->length);
  stream->logged = 0;
}

// Reads once. False when nothing is there now or ever again, or when a client still has to take what was read before.
static bool pump(struct stream *stream, size_t *total) {
  if (stream->fd < 0 || clients_owed()) return false;
  compact(stream);
  ssize_t got;
  do got = read(stream->fd, stream->buffer + stream->length, STREAM_CHUNK - stream->length);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return false;
  // A terminal answers EIO while no process has it open; one may open it again, and polling it until then would spin.
  if (got < 0 && errno == EIO) {
    quiet_until = now_millis() + QUIET_MILLISECONDS;
    return false;
  }
  if (got <= 0) {
    close(stream->fd);
    stream->fd = -1;
    log_stream(stream, true);
    return false;
  }
  clients_output(stream->frame, stream->buffer + stream->length, (size_t)got);
  stream->length += (size_t)got;
  if (stream->length > stream->touched) stream->touched = stream->length;
  log_stream(stream, false);
  if (total != NULL) *total += (size_t)got;
  return true;
}

static void give_back(struct stream *stream) {
  if (stream->touched <= PAGE || clients_owed()) return;
  compact(stream);
  size_t kept = stream->length <= PAGE ? PAGE : (stream->length + PAGE - 1) / PAGE * PAGE;
  madvise(stream->buffer + kept, STREAM_CHUNK - kept, MADV_DONTNEED);
  stream->touched = kept;
}

static void pump_some(struct stream *stream) {
  for (int reads = 0; reads < READS_AT_ONCE && pump(stream, NULL); reads++) continue;
  log_flush();
  give_back(stream);
}

static bool reap(struct serving *serving, struct exit_facts *facts) {
  siginfo_t info = {0};
  if (waitid(P_PID, (id_t)serving->started.pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0) return false;
  facts->exited_unix_nanos = now_unix_nanos();
  facts->signal = info.si_code == CLD_EXITED ? 0 : (uint32_t)info.si_status;
  facts->code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  uint64_t oom_kills = count_oom_kills(serving->prepared, facts->code == 128 + SIGKILL);
  facts->oom_kills = oom_kills > serving->oom_kills_before ? oom_kills - serving->oom_kills_before : 0;
  return true;
}

// Tells of a loss at once and then once a second, and tries to write what found no room. The time of the next look; 0: none.
static int64_t tend_log(int64_t now) {
  static int64_t next_look;
  static uint64_t told;
  bool news = log_lost().records != told;
  if ((news || log_owes()) && now >= next_look) {
    log_retry();
    if (news) clients_log_lost();
    told = log_lost().records;
    next_look = now + LOG_MILLISECONDS;
    news = false;
  }
  return news || log_owes() ? next_look : 0;
}

static noreturn void finish(struct serving *serving, struct exit_facts *facts) {
  log_stream(&output_stream, true);
  log_stream(&error_stream, true);
  log_close();
  facts->log_lost = log_lost();
  // The record before the frame: who hears of the exit finds it, and may start the next attempt while slow clients are still
  // served here.
  if (!serving->exec) write_exit_record(serving->attempt, facts);
  close(LOCK_FD);
  clients_exit(facts, true);
  close(serving->listener);
  struct pollfd polls[CLIENT_POLLS];
  int64_t end = now_millis() + LINGER_SECONDS * 1000;
  while (clients_pending() && now_millis() < end) {
    int count = clients_poll_output(polls);
    if (poll(polls, (nfds_t)count, (int)(end - now_millis())) > 0) clients_handle_output(polls, count);
  }
  _exit(0);
}

noreturn void serve(struct serving *serving) {
  // Nothing returns from here to the code of the start.
  give_start_pages_back();
  output_stream.fd = serving->started.stdio.output;
  error_stream.fd = serving->started.stdio.error;
  set_nonblocking(output_stream.fd);
  set_nonblocking(error_stream.fd);
  set_nonblocking(serving->started.stdio.input);
  clients_start(serving);
  // Not on the way of the start: its answer is sent.
  reserve_exit_record();
  if (!serving->exec) watch_oom_kills(serving->prepared);

  bool exited = false;
  struct exit_facts facts = {0};
  size_t drained = 0;
  int64_t hold_end = now_millis() + HOLD_SECONDS * 1000;
  for (;;) {
    if (serving->hold && now_millis() >= hold_end) serving->hold = false;
    int64_t stall_end = clients_stalled_until(now_millis());
    bool stalled = stall_end != 0;
    bool reading = !serving->hold && !stalled;

    if (exited && reading) {
      bool more = pump(&output_stream, &drained);
      more |= pump(&error_stream, &drained);
      log_flush();
      if (!more || drained >= MOST_DRAINED) finish(serving, &facts);
      clients_flush();
      continue;
    }

    bool quiet = quiet_until > now_millis();
    int64_t look_at_log = tend_log(now_millis());
    short oom_events;
    int oom_fd = oom_poll_fd(&oom_events);
    struct pollfd polls[OWN_POLLS + CLIENT_POLLS];
    polls[0] = (struct pollfd){exited ? -1 : serving->started.pidfd, POLLIN, 0};
    polls[1] = (struct pollfd){serving->listener, POLLIN, 0};
    polls[2] = (struct pollfd){reading && !quiet ? output_stream.fd : -1, POLLIN, 0};
    polls[3] = (struct pollfd){reading ? error_stream.fd : -1, POLLIN, 0};
    polls[4] = (struct pollfd){exited ? -1 : oom_fd, oom_events, 0};
    int count = OWN_POLLS + clients_poll(polls + OWN_POLLS);
    int64_t wake = INT64_MAX;
    if (serving->hold && hold_end < wake) wake = hold_end;
    if (stalled && stall_end < wake) wake = stall_end;
    if (reading && quiet && quiet_until < wake) wake = quiet_until;
    if (look_at_log != 0 && look_at_log < wake) wake = look_at_log;
    int64_t wait = wake == INT64_MAX ? -1 : wake > now_millis() ? wake - now_millis() : 0;
    if (poll(polls, (nfds_t)count, (int)wait) < 0) continue;

    if (polls[2].revents) pump_some(&output_stream);
    if (polls[3].revents) pump_some(&error_stream);
    if (polls[4].revents) see_oom_kills();
    clients_handle(polls + OWN_POLLS, count - OWN_POLLS);
    if (polls[1].revents) clients_accept();
    if (polls[0].revents && reap(serving, &facts)) {
      exited = true;
      clients_process_gone();
      // An exec's output may be held for a client that is still to come; its end is told at once.
      if (serving->exec) {
        write_exit_record(serving->attempt, &facts);
        clients_exit(&facts, false);
      }
    }
  }
}
