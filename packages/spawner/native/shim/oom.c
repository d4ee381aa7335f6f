// OOM kills in the container's memory cgroup. The kernel's counter goes with the cgroup (reading it afterwards is ENODEV, an open
// descriptor or not), and a cgroup may be removed as soon as its last process is a zombie: possibly before the shim runs again.
// So kills are also seen as they happen.
//
//   v1: an eventfd, which counts by itself and stays readable. It is signalled once more when the cgroup goes.
//   v2: memory.events is polled, and read while the dying process is still in the cgroup.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "kernel.h"
#include "shim.h"

// The event of the removal comes from a work queue, a grace period or more after it.
enum { REMOVAL_MILLISECONDS = 20, LONGEST_REMOVAL_MILLISECONDS = 1000 };

static int counter_fd = -1, event_fd = -1;
static bool is_v2, gone;
static uint64_t seen, unread_events;

static bool read_counter(void) {
  char text[512];
  ssize_t got = counter_fd < 0 ? -1 : pread(counter_fd, text, sizeof text - 1, 0);
  if (got <= 0) return false;
  text[got] = 0;
  const char *line = strstr(text, "oom_kill ");
  if (line != NULL) seen = strtoull(line + 9, NULL, 10);
  return true;
}

static uint64_t take_events(void) {
  uint64_t events;
  return read(event_fd, &events, sizeof events) == sizeof events ? events : 0;
}

uint64_t count_oom_kills(const struct prepared *prepared, bool killed) {
  if (prepared->memory_cgroup < 0) return 0;
  if (counter_fd < 0 && !gone) {
    is_v2 = prepared->memory_cgroup_v2;
    counter_fd = openat(prepared->memory_cgroup, is_v2 ? "memory.events" : "memory.oom_control", O_RDONLY | O_CLOEXEC);
  }
  if (!read_counter() && event_fd >= 0) {
    // Gone: as many kills as events that no reading has covered, without the one of the removal, for which we wait.
    struct pollfd poll_event = {event_fd, POLLIN, 0};
    // Worth a longer wait only where a kill may be what is hidden behind it.
    while (poll(&poll_event, 1, killed && unread_events < 2 ? LONGEST_REMOVAL_MILLISECONDS : REMOVAL_MILLISECONDS) > 0)
      unread_events += take_events();
    if (unread_events > 1) seen += unread_events - 1;
    unread_events = 0;
  }
  return seen;
}

void watch_oom_kills(const struct prepared *prepared) {
  if (counter_fd < 0 || is_v2) return;
  char text[32];
  int control = openat(prepared->memory_cgroup, "cgroup.event_control", O_WRONLY | O_CLOEXEC);
  event_fd = control < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int length = snprintf(text, sizeof text, "%d %d", event_fd, counter_fd);
  // A kernel without these events still has the counter.
  if (event_fd >= 0 && write(control, text, (size_t)length) != length) {
    close(event_fd);
    event_fd = -1;
  }
  if (control >= 0) close(control);
}

int oom_poll_fd(short *events) {
  *events = is_v2 ? POLLPRI : POLLIN;
  return gone ? -1 : is_v2 ? counter_fd : event_fd;
}

void see_oom_kills(void) {
  uint64_t before = seen;
  if (!is_v2) unread_events += take_events();
  gone = !read_counter();
  // The event comes before the kill is counted: it stays unread until the counter has moved.
  uint64_t counted = seen - before;
  unread_events = counted < unread_events ? unread_events - counted : 0;
}
