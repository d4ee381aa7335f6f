#include "clients.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "kernel.h"

enum {
  HEADER = sizeof(struct frame_header),
  SOCKET_BUFFER = 256 * 1024,
  // The process may wait this long for a client that takes nothing; then the client is cut off.
  STALL_MILLISECONDS = 250,
  LOSSLESS_STALL_MILLISECONDS = 30000,
};

struct client {
  int fd;  // -1: free
  bool greeted, watching, output, input, lossless, moved, exit_sent;
  int64_t stall_end;
  size_t in_length, out_at, out_length;
};

static struct client clients[MAX_CLIENTS];
// Apart from the clients, so that a buffer costs memory only once something was in it.
static unsigned char inboxes[MAX_CLIENTS][HEADER + LARGEST_INPUT_FRAME];
// The rests of one chunk of each stream, and small answers: no more is ever pending (see clients_stalled_until).
static unsigned char outboxes[MAX_CLIENTS][2 * (HEADER + STREAM_CHUNK) + 256];

static unsigned char *inbox_of(const struct client *client) { return inboxes[client - clients]; }
static unsigned char *outbox_of(const struct client *client) { return outboxes[client - clients]; }
static struct serving *serving;
static int input_fd = -1;
static int stdin_waiting = -1;  // index of the client whose STDIN frame the process has not taken yet
static bool have_exit;
static struct exit_facts exit_told;

static void close_stdin(void) {
  if (input_fd >= 0 && !serving->terminal) {
    close(input_fd);
    input_fd = -1;
  }
}

static void drop(struct client *client) {
  if (client->fd < 0) return;
  close(client->fd);
  client->fd = -1;
  client->out_length = client->out_at = client->in_length = 0;
  if (stdin_waiting == client - clients) stdin_waiting = -1;
  if (client->input && serving->stdin_once) close_stdin();
}

static void adopt(int fd, bool greeted) {
  struct client *client = clients;
  while (client < clients + MAX_CLIENTS && client->fd >= 0) client++;
  if (client == clients + MAX_CLIENTS) {
    close(fd);
    return;
  }
  int size = SOCKET_BUFFER;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  client->fd = fd;
  client->greeted = greeted;
  client->watching = client->output = client->input = client->lossless = client->moved = client->exit_sent = false;
  client->stall_end = 0;
}

static void flush(struct client *client) {
  while (client->fd >= 0 && client->out_at < client->out_length) {
    ssize_t sent = send(client->fd, outbox_of(client) + client->out_at, client->out_length - client->out_at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return drop(client);
    client->out_at += (size_t)sent;
  }
  client->moved = true;
  client->out_at = client->out_length = 0;
}

// The kernel's socket buffer is the client's queue; what it does not take at once is kept here, and
// until that is gone nothing more is read from the process.
static void send_frame(struct client *client, uint16_t kind, const void *data, size_t length) {
  if (client->fd < 0) return;
  struct frame_header header = {(uint32_t)length, kind, 0};
  size_t sent = 0;
  if (client->out_length == 0) {
    struct iovec parts[2] = {{&header, HEADER}, {(void *)(uintptr_t)data, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t got;
    do got = sendmsg(client->fd, &message, MSG_NOSIGNAL);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno != EAGAIN) return drop(client);
    if (got > 0) sent = (size_t)got;
    if (sent == HEADER + length) return;
  }
  size_t rest = HEADER + length - sent;
  if (client->out_length + rest > sizeof outboxes[0]) return drop(client);
  unsigned char *at = outbox_of(client) + client->out_length;
  size_t header_left = sent < HEADER ? HEADER - sent : 0;
  memcpy(at, (unsigned char *)&header + (HEADER - header_left), header_left);
  size_t data_sent = sent > HEADER ? sent - HEADER : 0;
  memcpy(at + header_left, (const unsigned char *)data + data_sent, length - data_sent);
  client->out_length += rest;
}

static void send_started(struct client *client) {
  unsigned char body[20];
  uint32_t version = SHIM_PROTOCOL_VERSION, pid = (uint32_t)serving->started.pid, own = (uint32_t)getpid();
  memcpy(body, &version, 4);
  memcpy(body + 4, &pid, 4);
  memcpy(body + 8, &own, 4);
  memcpy(body + 12, &serving->started.started_unix_nanos, 8);
  send_frame(client, FRAME_STARTED, body, sizeof body);
}

static void send_exit(struct client *client) {
  unsigned char body[24];
  memcpy(body, &exit_told.code, 4);
  memcpy(body + 4, &exit_told.signal, 4);
  memcpy(body + 8, &exit_told.exited_unix_nanos, 8);
  memcpy(body + 16, &exit_told.oom_kills, 8);
  send_frame(client, FRAME_EXIT, body, sizeof body);
}

static void send_result(struct client *client, uint32_t kind, int error) {
  unsigned char body[8];
  memcpy(body, &kind, 4);
  memcpy(body + 4, &error, 4);
  send_frame(client, FRAME_RESULT, body, sizeof body);
}

void clients_start(struct serving *of) {
  serving = of;
  for (int index = 0; index < MAX_CLIENTS; index++) clients[index].fd = -1;
  input_fd = serving->terminal ? serving->started.stdio.output : serving->started.stdio.input;
  adopt(CONTROL_FD, true);
  send_started(&clients[0]);
}

void clients_accept(void) {
  int fd = accept4(serving->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
    close(fd);
    return;
  }
  adopt(fd, false);
}

void clients_output(uint16_t frame, const char *data, size_t length) {
  for (struct client *client = clients; client < clients + MAX_CLIENTS; client++) {
    if (client->fd >= 0 && client->output) send_frame(client, frame, data, length);
  }
}

void clients_exit(const struct exit_facts *facts, bool to_attached) {
  have_exit = true;
  exit_told = *facts;
  for (struct client *client = clients; client < clients + MAX_CLIENTS; client++) {
    bool attached = client->output || client->input;
    if (client->fd < 0 || client->exit_sent || (attached ? !to_attached : !client->watching)) continue;
    client->exit_sent = true;
    send_exit(client);
  }
}

void clients_process_gone(void) {
  close_stdin();
  input_fd = -1;
  stdin_waiting = -1;
}

int64_t clients_stalled_until(int64_t now) {
  int64_t earliest = 0;
  for (struct client *client = clients; client < clients + MAX_CLIENTS; client++) {
    if (client->fd < 0 || !client->output || client->out_length == 0) {
      client->stall_end = 0;
      continue;
    }
    if (client->stall_end == 0 || client->moved)
      client->stall_end = now + (client->lossless ? LOSSLESS_STALL_MILLISECONDS : STALL_MILLISECONDS);
    client->moved = false;
    if (now >= client->stall_end)
      drop(client);
    else if (earliest == 0 || client->stall_end < earliest)
      earliest = client->stall_end;
  }
  return earliest;
}

bool clients_pending(void) {
  for (struct client *client = clients; client < clients + MAX_CLIENTS; client++)
    if (client->fd >= 0 && client->out_length > 0) return true;
  return false;
}

void clients_flush(void) {
  for (struct client *client = clients; client < clients + MAX_CLIENTS; client++)
    if (client->fd >= 0 && client->out_length > 0) flush(client);
}

static void resize(const unsigned char *body) {
  uint16_t size[2];
  memcpy(size, body, 4);
  if (!serving->terminal || (size[0] | size[1]) == 0) return;
  struct winsize window = {.ws_row = size[0], .ws_col = size[1]};
  ioctl(serving->started.stdio.output, TIOCSWINSZ, &window);
}

static void attach(struct client *client, const unsigned char *body) {
  uint32_t flags;
  memcpy(&flags, body, 4);
  resize(body + 4);
  client->input = (flags & ATTACH_STDIN) != 0;
  client->output = (flags & ATTACH_OUTPUT) != 0;
  client->lossless = (flags & ATTACH_LOSSLESS) != 0;
  send_frame(client, FRAME_ATTACHED, "", 0);
  serving->hold = false;
}

// False: not all is written, try again when the process reads on.
static bool give_stdin(struct client *client, unsigned char *data, size_t *length) {
  while (client->input && input_fd >= 0 && *length > 0) {
    ssize_t wrote = write(input_fd, data, *length);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) return false;
    if (wrote < 0) {
      close_stdin();
      break;
    }
    memmove(data, data + wrote, *length - (size_t)wrote);
    *length -= (size_t)wrote;
  }
  return true;
}

// False: the frame stays in the inbox.
static bool handle_frame(struct client *client, struct frame_header *header, unsigned char *body) {
  static const uint8_t least[] = {[FRAME_HELLO] = 4, [FRAME_ATTACH] = 8, [FRAME_RESIZE] = 4, [FRAME_SIGNAL] = 4,
                                  [FRAME_DEADLINE] = 0};
  if ((header->kind < sizeof least && header->length < least[header->kind]) ||
      (!client->greeted && header->kind != FRAME_HELLO))
    return drop(client), true;
  switch (header->kind) {
    case FRAME_HELLO: {
      uint32_t version;
      memcpy(&version, body, 4);
      // The answer names our version; a service that cannot speak it leaves.
      client->greeted = true;
      send_started(client);
      break;
    }
    case FRAME_ATTACH: attach(client, body); break;
    case FRAME_STDIN: {
      size_t length = header->length;
      bool whole = give_stdin(client, body, &length);
      if (whole) break;
      client->in_length -= header->length - length;
      header->length = (uint32_t)length;
      memcpy(inbox_of(client), header, HEADER);
      stdin_waiting = (int)(client - clients);
      return false;
    }
    case FRAME_STDIN_EOF:
      if (client->input && serving->stdin_once) close_stdin();
      break;
    case FRAME_RESIZE: resize(body); break;
    case FRAME_SIGNAL: {
      uint32_t number;
      memcpy(&number, body, 4);
      int answer = sys_pidfd_signal(serving->started.pidfd, (int)number);
      send_result(client, FRAME_SIGNAL, answer < 0 ? errno : 0);
      break;
    }
    case FRAME_WATCH:
      client->watching = true;
      if (have_exit && !client->exit_sent) {
        client->exit_sent = true;
        send_exit(client);
      }
      break;
    case FRAME_RELEASE: serving->hold = false; break;
    default: send_result(client, header->kind, ENOSYS); break;
  }
  return true;
}

static void handle_inbox(struct client *client) {
  while (client->fd >= 0 && client->in_length >= HEADER) {
    struct frame_header header;
    memcpy(&header, inbox_of(client), HEADER);
    if (header.length > LARGEST_INPUT_FRAME) return drop(client);
    if (client->in_length < HEADER + header.length) return;
    size_t whole = HEADER + header.length;
    if (!handle_frame(client, &header, inbox_of(client) + HEADER) || client->fd < 0) return;
    client->in_length -= whole;
    memmove(inbox_of(client), inbox_of(client) + whole, client->in_length);
  }
}

static void receive(struct client *client) {
  ssize_t got;
  do got = recv(client->fd, inbox_of(client) + client->in_length, sizeof inboxes[0] - client->in_length, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return drop(client);
  client->in_length += (size_t)got;
  handle_inbox(client);
}

int clients_poll(struct pollfd *polls) {
  for (int index = 0; index < MAX_CLIENTS; index++) {
    struct client *client = &clients[index];
    short events = (short)((index == stdin_waiting ? 0 : POLLIN) | (client->out_length > 0 ? POLLOUT : 0));
    polls[index] = (struct pollfd){client->fd, events, 0};
  }
  polls[MAX_CLIENTS] = (struct pollfd){stdin_waiting >= 0 ? input_fd : -1, POLLOUT, 0};
  return CLIENT_POLLS;
}

void clients_handle(struct pollfd *polls, int count) {
  for (int index = 0; index < count - 1; index++) {
    struct client *client = &clients[index];
    if (polls[index].revents == 0 || client->fd != polls[index].fd) continue;
    if (polls[index].revents & POLLOUT) flush(client);
    if (client->fd >= 0 && index != stdin_waiting && (polls[index].revents & (POLLIN | POLLHUP | POLLERR))) receive(client);
    if (client->fd >= 0 && index == stdin_waiting && (polls[index].revents & (POLLHUP | POLLERR))) drop(client);
  }
  if (polls[count - 1].revents && stdin_waiting >= 0) {
    struct client *client = &clients[stdin_waiting];
    stdin_waiting = -1;
    handle_inbox(client);
  }
}

int clients_poll_output(struct pollfd *polls) {
  for (int index = 0; index < MAX_CLIENTS; index++)
    polls[index] = (struct pollfd){clients[index].out_length > 0 ? clients[index].fd : -1, POLLOUT, 0};
  return MAX_CLIENTS;
}

void clients_handle_output(struct pollfd *polls, int count) {
  for (int index = 0; index < count; index++)
    if (polls[index].revents) flush(&clients[index]);
}
