// Unix sockets by path, and descriptors sent over them.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kernel.h"
#include "shim.h"

// Bound by a short name from inside its directory: the whole path may be longer than a socket address holds.
int listen_here(const char *name, int backlog, int flags) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) fail("make socket", name);
  unlink(name);
  mode_t old = umask(0177);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, backlog) < 0)
    fail("listen on socket", name);
  umask(old);
  failures_remove(name);
  return fd;
}

// By the socket's own descriptor: the path may be longer than a socket address holds.
int connect_to(const char *path) {
  int place = open(path, O_PATH | O_CLOEXEC);
  if (place < 0) return -1;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", place);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool connected = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  int saved = errno;
  close(place);
  if (!connected && fd >= 0) close(fd);
  errno = saved;
  return connected ? fd : -1;
}

ssize_t send_with_descriptors(int socket, struct iovec *pieces, int count, const int *fds, int fd_count) {
  union {
    char space[CMSG_SPACE(sizeof(int) * MOST_SENT_DESCRIPTORS)];
    struct cmsghdr align;
  } control = {0};
  struct msghdr header = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
  if (fd_count > 0) {
    header.msg_control = control.space;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
    memcpy(CMSG_DATA(rights), fds, sizeof(int) * (size_t)fd_count);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}
