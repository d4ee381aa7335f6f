#include "clients.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "input.h"
#include "kernel.h"

enum {
  HEADER = sizeof(struct frame_header),
  // What a client may send in one piece; the bytes of STDIN are taken as they come.
  LARGEST_REQUEST = 16,
  // Answers not yet taken. Who asks for more without reading is cut off.
  ANSWERS = 208,
  SOCKET_BUFFER = 256 * 1024,
  // Frames of one client before the others have their turn.
  FRAMES_AT_ONCE = 32,
  // The process may wait this long for a client that takes nothing; then the client is cut off.
  STALL_MILLISECONDS = 250,
  LOSSLESS_STALL_MILLISECONDS = 30000,
};

struct client {
  int fd;  // -1: free
  bool greeted, watching, output, input, lossless, moved, exit_sent;
  bool deaf;  // takes nothing any more, but may have sent input before it left
  bool owed;  // the chunk that is being sent, from chunk_at on
  int64_t stall_end;
  size_t chunk_at;
  size_t in_length, out_at, out_length;
  uint32_t stdin_left;  // bytes of a STDIN frame that are still in the socket
  unsigned char in[HEADER + LARGEST_REQUEST];
  unsigned char out[ANSWERS];
};

// Only the first `used` have ever been touched: memory is for those that come.
static struct client clients[MAX_CLIENTS];
static int used;
// Whose input is looked at first: behind who gave the last, or one that always has more would keep the others out.
static int turn;
static struct serving *serving;
static bool have_exit;
static struct exit_facts exit_told;

// What is being sent to all that are attached. It lies in the buffer it was read into; nothing is read until all have taken it.
static struct frame_header chunk_header;
static const char *chunk_data;

static void drop(struct client *client) {
  if (client->fd < 0) return;
  close(client->fd);
  bool had_input = client->input;
  *client = (struct client){.fd = -1};
  while (used > 0 && clients[used - 1].fd < 0) used--;
  if (had_input && serving->stdin_once) input_end();
}

// Its end of the socket is closed, but what it sent before may still lie in ours.
static void leave(struct client *client) {
  if (!client->input) return drop(client);
  client->deaf = true;
  client->owed = client->output = client->watching = false;
  client->out_at = client->out_length = 0;
}

static bool is_blocked(const struct client *client) { return client->stdin_left > 0 && client->input && input_waits(); }

static struct client *free_place(void) {
  for (int index = 0; index < used; index++)
    if (clients[index].fd < 0) return &clients[index];
  if (used < MAX_CLIENTS) return &clients[used++];
  // Who has left while the process does not read its input is not asked for any longer.
  for (struct client *client = clients; client < clients + MAX_CLIENTS; client++) {
    struct pollfd state = {client->fd, 0, 0};
    if (is_blocked(client) && poll(&state, 1, 0) > 0) {
      drop(client);
      if (used < MAX_CLIENTS) used++;
      return client;
    }
  }
  return NULL;
}

static int adopt(int fd, bool greeted) {
  struct client *client = free_place();
  if (client == NULL) return -1;
  int size = SOCKET_BUFFER;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  *client = (struct client){.fd = fd, .greeted = greeted};
  return 0;
}

// The kernel's socket buffer is the client's queue. What it does not take stays where it is.
static void flush(struct client *client) {
  while (client->fd >= 0 && (client->owed || client->out_length > 0)) {
    ssize_t sent;
    if (client->owed) {
      size_t whole = HEADER + chunk_header.length, data_at = client->chunk_at > HEADER ? client->chunk_at - HEADER : 0;
      size_t header_at = client->chunk_at < HEADER ? client->chunk_at : HEADER;
      struct iovec parts[2] = {{(char *)&chunk_header + header_at, HEADER - header_at},
                               {(char *)(uintptr_t)chunk_data + data_at, chunk_header.length - data_at}};
      struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
      sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
      if (sent > 0 && (client->chunk_at += (size_t)sent) == whole) client->owed = false;
    } else {
      sent = send(client->fd, client->out + client->out_at, client->out_length - client->out_at, MSG_NOSIGNAL);
      if (sent > 0 && (client->out_at += (size_t)sent) == client->out_length) client->out_at = client->out_length = 0;
    }
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return leave(client);
    client->moved = true;
  }
}

static void send_frame(struct client *client, uint16_t kind, const void *data, size_t length) {
  if (client->fd < 0 || client->deaf) return;
  struct frame_header header = {(uint32_t)length, kind, 0};
  if (client->out_length + HEADER + length > sizeof client->out) return drop(client);
  memcpy(client->out + client->out_length, &header, HEADER);
  memcpy(client->out + client->out_length + HEADER, data, length);
  client->out_length += HEADER + length;
  flush(client);
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
  unsigned char body[40];
  memcpy(body, &exit_told.code, 4);
  memcpy(body + 4, &exit_told.signal, 4);
  memcpy(body + 8, &exit_told.exited_unix_nanos, 8);
  memcpy(body + 16, &exit_told.oom_kills, 8);
  memcpy(body + 24, &exit_told.log_lost.records, 8);
  memcpy(body + 32, &exit_told.log_lost.bytes, 8);
  client->exit_sent = true;
  send_frame(client, FRAME_EXIT, body, sizeof body);
}

static void send_log_lost(struct client *client) {
  struct log_loss loss = log_lost();
  unsigned char body[20];
  memcpy(body, &loss.records, 8);
  memcpy(body + 8, &loss.bytes, 8);
  memcpy(body + 16, &loss.error, 4);
  if (loss.records > 0) send_frame(client, FRAME_LOG_LOST, body, sizeof body);
}

static void send_result(struct client *client, uint32_t kind, int error) {
  unsigned char body[8];
  memcpy(body, &kind, 4);
  memcpy(body + 4, &error, 4);
  send_frame(client, FRAME_RESULT, body, sizeof body);
}

void clients_start(struct serving *of) {
  serving = of;
  input_start(serving->terminal ? serving->started.stdio.output : serving->started.stdio.input, serving->terminal);
  adopt(CONTROL_FD, true);
  send_started(&clients[0]);
}

void clients_accept(void) {
  int fd = accept4(serving->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct ucred peer;
  socklen_t size = sizeof peer;
  bool ours = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
  if (ours && adopt(fd, false) == 0) return;
  if (ours) {
    struct client refused = {.fd = fd};
    send_result(&refused, FRAME_HELLO, EUSERS);
  }
  close(fd);
}

void clients_output(uint16_t frame, const char *data, size_t length) {
  chunk_header = (struct frame_header){(uint32_t)length, frame, 0};
  chunk_data = data;
  for (int index = 0; index < used; index++) {
    struct client *client = &clients[index];
    if (client->fd < 0 || !client->output) continue;
    client->owed = true;
    client->chunk_at = 0;
    flush(client);
  }
}

static bool is_behind(const struct client *client) { return client->fd >= 0 && (client->owed || client->out_length > 0); }

bool clients_owed(void) {
  for (int index = 0; index < used; index++)
    if (clients[index].fd >= 0 && clients[index].owed) return true;
  return false;
}

void clients_exit(const struct exit_facts *facts, bool to_attached) {
  have_exit = true;
  exit_told = *facts;
  for (int index = 0; index < used; index++) {
    struct client *client = &clients[index];
    bool attached = client->output || client->input;
    if (client->fd < 0 || client->exit_sent || (attached ? !to_attached : !client->watching)) continue;
    send_exit(client);
  }
}

void clients_log_lost(void) {
  for (int index = 0; index < used; index++)
    if (clients[index].fd >= 0 && clients[index].watching) send_log_lost(&clients[index]);
}

void clients_process_gone(void) { input_gone(); }

int64_t clients_stalled_until(int64_t now) {
  int64_t earliest = 0;
  for (int index = 0; index < used; index++) {
    struct client *client = &clients[index];
    if (!is_behind(client) || !client->output) {
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
  for (int index = 0; index < used; index++)
    if (is_behind(&clients[index])) return true;
  return false;
}

void clients_flush(void) {
  for (int index = 0; index < used; index++)
    if (is_behind(&clients[index])) flush(&clients[index]);
}

static void resize(const unsigned char *body) {
  uint16_t size[2];
  memcpy(size, body, 4);
  if (!serving->terminal || (size[0] | size[1]) == 0) return;
  struct winsize window = {.ws_row = size[0], .ws_col = size[1]};
  ioctl(serving->started.stdio.output, TIOCSWINSZ, &window);
}

static void attach(struct client *client, const unsigned char *body) {
  int attached = 0;
  for (int index = 0; index < used; index++)
    if (clients[index].fd >= 0 && (clients[index].output || clients[index].input)) attached++;
  if (attached >= MAX_ATTACHED && !client->output && !client->input) return send_result(client, FRAME_ATTACH, EUSERS);
  uint32_t flags;
  memcpy(&flags, body, 4);
  resize(body + 4);
  client->input = (flags & ATTACH_STDIN) != 0;
  client->output = (flags & ATTACH_OUTPUT) != 0;
  client->lossless = (flags & ATTACH_LOSSLESS) != 0;
  send_frame(client, FRAME_ATTACHED, "", 0);
  serving->hold = false;
}

static void handle_frame(struct client *client, uint16_t kind, const unsigned char *body) {
  switch (kind) {
    case FRAME_HELLO:
      // The answer names our version; a service that cannot speak it leaves.
      client->greeted = true;
      send_started(client);
      break;
    case FRAME_ATTACH: attach(client, body); break;
    case FRAME_STDIN_EOF:
      if (client->input && serving->stdin_once) input_end();
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
      send_log_lost(client);
      if (have_exit && !client->exit_sent) send_exit(client);
      break;
    case FRAME_RELEASE: serving->hold = false; break;
    default: send_result(client, kind, ENOSYS); break;
  }
}

// Bytes for the process, straight from the socket; as many as it is known to take, or as input_give keeps until it does.
static ssize_t take_stdin(struct client *client) {
  size_t most = client->stdin_left;
  char *room = input_room(&most);
  ssize_t got = recv(client->fd, room, most, 0);
  if (got <= 0) return got;
  client->stdin_left -= (uint32_t)got;
  if (client->input) input_give((size_t)got);
  return got;
}

static bool is_whole(const struct client *client, struct frame_header *header) {
  memcpy(header, client->in, HEADER);
  return client->in_length >= HEADER && (header->kind == FRAME_STDIN || client->in_length == HEADER + header->length);
}

// False: a frame that no service sends, or none before HELLO.
static bool is_good(const struct client *client, const struct frame_header *header) {
  static const uint8_t least[] = {[FRAME_HELLO] = 4, [FRAME_ATTACH] = 8, [FRAME_RESIZE] = 4, [FRAME_SIGNAL] = 4,
                                  [FRAME_DEADLINE] = 0};
  if (!client->greeted && header->kind != FRAME_HELLO) return false;
  if (header->kind == FRAME_STDIN) return header->length <= LARGEST_INPUT_FRAME;
  return header->length <= LARGEST_REQUEST && (header->kind >= sizeof least || header->length >= least[header->kind]);
}

static void receive(struct client *client) {
  for (int frames = 0; frames < FRAMES_AT_ONCE && client->fd >= 0 && !is_blocked(client);) {
    struct frame_header header = {0};
    ssize_t got;
    if (client->stdin_left > 0) {
      got = take_stdin(client);
    } else {
      memcpy(&header, client->in, HEADER);
      size_t wanted = client->in_length < HEADER ? HEADER : HEADER + header.length;
      got = recv(client->fd, client->in + client->in_length, wanted - client->in_length, 0);
      if (got > 0) client->in_length += (size_t)got;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return drop(client);
    if (client->in_length < HEADER) continue;
    memcpy(&header, client->in, HEADER);
    if (!is_good(client, &header)) return drop(client);
    if (!is_whole(client, &header)) continue;
    client->in_length = 0;
    frames++;
    if (header.kind == FRAME_STDIN) {
      client->stdin_left = header.length;
      turn = (int)(client - clients) + 1;
    } else {
      handle_frame(client, header.kind, client->in + HEADER);
    }
  }
}

int clients_poll(struct pollfd *polls) {
  for (int index = 0; index < used; index++) {
    struct client *client = &clients[index];
    // Not even asked whether it has left: what it sent before is still to be delivered.
    polls[index] = (struct pollfd){is_blocked(client) ? -1 : client->fd, POLLIN, 0};
    if (is_behind(client)) polls[index] = (struct pollfd){client->fd, (short)(POLLOUT | (is_blocked(client) ? 0 : POLLIN)), 0};
  }
  polls[used] = (struct pollfd){input_poll_fd(), POLLOUT, 0};
  return used + 1;
}

void clients_handle(struct pollfd *polls, int count) {
  for (int step = 0, first = turn; step < count - 1; step++) {
    int index = (first + step) % (count - 1);
    struct client *client = &clients[index];
    if (polls[index].revents == 0 || client->fd != polls[index].fd) continue;
    if (polls[index].revents & (POLLOUT | POLLERR | POLLHUP)) flush(client);
    if (client->fd >= 0 && (polls[index].revents & (POLLIN | POLLHUP | POLLERR))) receive(client);
  }
  if (polls[count - 1].revents) input_pour();
}

int clients_poll_output(struct pollfd *polls) {
  for (int index = 0; index < used; index++)
    polls[index] = (struct pollfd){is_behind(&clients[index]) ? clients[index].fd : -1, POLLOUT, 0};
  return used;
}

void clients_handle_output(struct pollfd *polls, int count) {
  for (int index = 0; index < count; index++)
    if (polls[index].revents) flush(&clients[index]);
}
