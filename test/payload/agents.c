// The other ends of a runtime's sockets: who takes a container's terminal, who answers for a seccomp filter.
#define _GNU_SOURCE
#include "payload.h"
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

// From linux/seccomp.h, which the C library's headers do not bring.
struct notification {
  uint64_t id;
  uint32_t pid, flags;
  int32_t number;
  uint32_t architecture;
  uint64_t instruction, arguments[6];
};
struct reply {
  uint64_t id;
  int64_t value;
  int32_t error;
  uint32_t flags;
};
#define RECEIVE_NOTIFICATION _IOWR('!', 0, struct notification)
#define SEND_REPLY _IOWR('!', 1, struct reply)

static int accept_on(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) return -1;
  puts("ready");
  return accept(listener, 0, 0);
}

// Reads to the end, or until what came is whole; keeps the descriptors.
static ssize_t receive(int connection, int first_only, char *text, size_t room, int *descriptors, int *count) {
  size_t used = 0;
  *count = 0;
  for (;;) {
    union {
      struct cmsghdr header;
      char room[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec part = {text + used, room - 1 - used};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    used += (size_t)length;
    for (struct cmsghdr *part_of = CMSG_FIRSTHDR(&message); part_of; part_of = CMSG_NXTHDR(&message, part_of)) {
      if (part_of->cmsg_type != SCM_RIGHTS) continue;
      *count = (int)((part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      memcpy(descriptors, CMSG_DATA(part_of), (size_t)*count * sizeof(int));
    }
    // A terminal's name is one message; a state may come in several, and its connection may stay open.
    char last = text[used - 1] == '\n' && used > 1 ? text[used - 2] : text[used - 1];
    if (first_only && (text[0] != '{' || last == '}' || last == 0)) break;
  }
  text[used] = 0;
  return (ssize_t)used;
}

/** seccomp-agent SOCKET VALUE: says what it was sent, then answers every call with the value. */
int answer_for_filter(const char *path, long value) {
  static char text[65536];
  int descriptors[4], count;
  int connection = accept_on(path);
  if (connection < 0) return perror("seccomp-agent"), 1;
  receive(connection, 1, text, sizeof text, descriptors, &count);
  printf("fds=%d\nstate=%s\n", count, text);
  if (count < 1) return 1;
  for (;;) {
    struct pollfd waiting = {.fd = descriptors[0], .events = POLLIN};
    if (poll(&waiting, 1, 15000) <= 0 || !(waiting.revents & POLLIN)) return 0;
    struct notification call = {0};
    if (ioctl(descriptors[0], RECEIVE_NOTIFICATION, &call) < 0) continue;
    printf("asked=%d\n", call.number);
    struct reply reply = {.id = call.id, .value = value};
    ioctl(descriptors[0], SEND_REPLY, &reply);
  }
}

/** console-agent SOCKET: takes the terminal; says its size, then everything that comes out of it. Sends it standard input. */
int take_terminal(const char *path) {
  static char text[4096];
  int descriptors[4], count;
  int connection = accept_on(path);
  if (connection < 0) return perror("console-agent"), 1;
  receive(connection, 1, text, sizeof text, descriptors, &count);
  struct winsize size = {0};
  if (count != 1 || ioctl(descriptors[0], TIOCGWINSZ, &size) < 0) return 1;
  printf("name=%s\nsize=%dx%d\n", text, size.ws_row, size.ws_col);
  struct pollfd ends[2] = {{.fd = descriptors[0], .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  while (poll(ends, 2, 15000) > 0) {
    if (ends[1].revents) {
      ssize_t length = read(0, text, sizeof text);
      if (length <= 0) ends[1].fd = -1;
      else if (write(descriptors[0], text, (size_t)length) != length) return 1;
    }
    if (ends[0].revents) {
      ssize_t length = read(descriptors[0], text, sizeof text);
      if (length <= 0) return 0;
      if (write(1, text, (size_t)length) != length) return 1;
    }
  }
  return 0;
}

/** pidfd-agent SOCKET: takes a pidfd, says whose it is and kills that process by it. */
int kill_by_pidfd(const char *path) {
  static char text[4096];
  char file[64];
  int descriptors[4], count;
  int connection = accept_on(path);
  if (connection < 0) return perror("pidfd-agent"), 1;
  receive(connection, 1, text, sizeof text, descriptors, &count);
  if (count != 1) return printf("descriptors=%d\n", count), 1;
  snprintf(file, sizeof file, "/proc/self/fdinfo/%d", descriptors[0]);
  FILE *facts = fopen(file, "r");
  while (facts && fgets(text, sizeof text, facts)) {
    int pid;
    if (sscanf(text, "Pid:%d", &pid) == 1) printf("pid=%d\n", pid);
  }
  printf("killed=%ld\n", syscall(SYS_pidfd_send_signal, descriptors[0], 9, NULL, 0));
  return 0;
}
