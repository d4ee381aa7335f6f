#include "input.h"

#include <errno.h>
#include <unistd.h>

#include "protocol.h"

static int input_fd = -1;
static bool is_terminal, ends;
static char buffer[LARGEST_INPUT_FRAME];
static size_t at, length;

void input_start(int fd, bool terminal) {
  input_fd = fd;
  is_terminal = terminal;
}

bool input_waits(void) { return at < length; }

static void close_input(void) {
  at = length = 0;
  if (input_fd >= 0 && !is_terminal) close(input_fd);
  if (!is_terminal) input_fd = -1;
}

char *input_room(size_t *wanted) {
  if (*wanted > sizeof buffer) *wanted = sizeof buffer;
  return buffer;
}

void input_give(size_t given) {
  at = 0;
  length = input_fd < 0 || ends ? 0 : given;
  input_pour();
}

int input_poll_fd(void) { return input_waits() ? input_fd : -1; }

void input_pour(void) {
  while (at < length) {
    ssize_t wrote = write(input_fd, buffer + at, length - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) return;
    // It reads no more.
    if (wrote < 0) return close_input();
    at += (size_t)wrote;
  }
  if (ends) close_input();
}

void input_end(void) {
  if (is_terminal) return;
  ends = true;
  if (!input_waits()) close_input();
}

void input_gone(void) {
  close_input();
  at = length = 0;
  input_fd = -1;
}
