#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "kernel.h"
#include "protocol.h"
#include "shim.h"

static int service_channel = -1, launcher_channel = -1;
static const char *own_socket;
static pid_t ends_with_us[2];

void failures_go_to_service(int control) {
  service_channel = control;
  launcher_channel = -1;
}
void failures_go_to_launcher(int sync) {
  launcher_channel = sync;
  own_socket = NULL;
}
void failures_remove(const char *socket) { own_socket = socket; }
void failures_end(pid_t stage, pid_t init) {
  ends_with_us[0] = stage;
  ends_with_us[1] = init;
}

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
  if (launcher_channel >= 0) {
    send(launcher_channel, &message, sizeof message, MSG_NOSIGNAL);
    _exit(1);
  }
  for (int index = 0; index < 2; index++)
    if (ends_with_us[index] > 0 && kill(ends_with_us[index], SIGKILL) == 0) waitpid(ends_with_us[index], NULL, 0);
  if (own_socket != NULL) unlink(own_socket);
  // Let go of before it is told, so that a retry at once is not refused.
  close(LOCK_FD);
  if (service_channel >= 0) tell_service(&message.failure);
  _exit(1);
}

noreturn void fail(const char *stage, const char *path) { fail_with(errno, stage, path); }
