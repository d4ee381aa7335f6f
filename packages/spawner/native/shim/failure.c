#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "kernel.h"
#include "protocol.h"
#include "shim.h"

static int service_channel = -1, shim_channel = -1;

void failures_go_to_service(int control) { service_channel = control; }
void failures_go_to_shim(int sync) { shim_channel = sync; }

static void copy_text(char *into, size_t size, const char *text) {
  size_t length = strnlen(text, size - 1);
  memcpy(into, text, length);
  into[length] = 0;
}

// The service learns of it as one frame: i32 errno | stage NUL | path NUL.
static void tell_service(const struct failure *failure) {
  unsigned char frame[sizeof(struct frame_header) + sizeof *failure];
  unsigned char *at = frame + sizeof(struct frame_header);
  memcpy(at, &failure->error, 4);
  at += 4;
  for (const char *text = failure->stage; (*at++ = (unsigned char)*text) != 0; text++) continue;
  for (const char *text = failure->path; (*at++ = (unsigned char)*text) != 0; text++) continue;
  struct frame_header header = {(uint32_t)(at - frame - sizeof header), FRAME_FAILED, 0};
  memcpy(frame, &header, sizeof header);
  send(service_channel, frame, (size_t)(at - frame), MSG_NOSIGNAL);
}

noreturn void fail_with(int error, const char *stage, const char *path) {
  struct sync_message message = {.kind = SYNC_FAILED, .failure.error = error};
  copy_text(message.failure.stage, sizeof message.failure.stage, stage);
  copy_text(message.failure.path, sizeof message.failure.path, path);
  if (shim_channel >= 0) {
    send(shim_channel, &message, sizeof message, MSG_NOSIGNAL);
    _exit(1);
  }
  unlink("shim.sock");
  // Let go of before it is told, so that a retry at once is not refused.
  close(LOCK_FD);
  if (service_channel >= 0) tell_service(&message.failure);
  _exit(1);
}

noreturn void fail(const char *stage, const char *path) { fail_with(errno, stage, path); }

void sync_send(int sync, const struct sync_message *message, const int *fds, int fd_count) {
  union {
    char space[CMSG_SPACE(sizeof(int) * 3)];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {(void *)(uintptr_t)message, sizeof *message};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count > 0) {
    header.msg_control = control.space;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
    memcpy(CMSG_DATA(rights), fds, sizeof(int) * (size_t)fd_count);
  }
  // EPIPE: the shim is gone, and nobody would ever reap or watch this process.
  while (sendmsg(sync, &header, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) _exit(1);
}

int sync_receive(int sync, struct sync_message *message, int *fds, int *fd_count) {
  union {
    char space[CMSG_SPACE(sizeof(int) * 3)];
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
