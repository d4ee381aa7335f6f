// Messages between launcher, stage and init; shim.h draws them.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim.h"

void sync_send(int sync, const struct sync_message *message, const int *fds, int fd_count) {
  struct iovec part = {(void *)(uintptr_t)message, sizeof *message};
  // EPIPE: the shim is gone, and nobody would ever reap or watch this process.
  if (send_with_descriptors(sync, &part, 1, fds, fd_count) < 0) _exit(1);
}

int sync_receive(int sync, struct sync_message *message, int *fds, int *fd_count) {
  union {
    char space[CMSG_SPACE(sizeof(int) * MOST_SENT_DESCRIPTORS)];
    struct cmsghdr align;
  } control;
  struct iovec part = {message, sizeof *message};
  struct msghdr header = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t got;
  do got = recvmsg(sync, &header, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno != ECONNRESET) fail("receive from init", "");
  if (got <= 0) return 0;
  *fd_count = 0;
  for (struct cmsghdr *rights = CMSG_FIRSTHDR(&header); rights != NULL; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_type != SCM_RIGHTS) continue;
    *fd_count = (int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(rights), sizeof(int) * (size_t)*fd_count);
  }
  return (int)got;
}

pid_t sync_ask(int sync, enum sync_kind question) {
  sync_send(sync, &(struct sync_message){.kind = question}, NULL, 0);
  struct sync_message answer;
  int fds[MOST_SENT_DESCRIPTORS], fd_count;
  // No answer: the launcher has failed in what was asked and says so itself.
  if (sync_receive(sync, &answer, fds, &fd_count) <= 0 || answer.kind != SYNC_GO) _exit(1);
  return answer.pid;
}
