// The working directory, which is the container's word and may try to lead out of it (CVE-2024-21626).
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "kernel.h"
#include "shim.h"

// The kernel says of a directory that is not beneath our root that it is "(unreachable)"; asked raw, as C libraries hide that.
static void refuse_unreachable(const char *directory) {
  char now[PATH_MAX];
  long length = syscall(SYS_getcwd, now, sizeof now);
  // A directory with a longer name than the kernel can tell is one that was reached by names.
  if (length < 0 && errno == ENAMETOOLONG) return;
  if (length < 0) fail("enter working directory", directory);
  if (now[0] != '/') fail_with(EXDEV, "enter working directory", directory);
}

bool enter_working_directory(const struct plan *plan, bool must) {
  struct record record;
  if (!find_record(plan, TAG_WORKING_DIRECTORY, &record)) return true;
  const char *directory = read_string(&record.body);
  if (chdir(directory) < 0) {
    if (errno == EACCES && !must) return false;
    fail("enter working directory", directory);
  }
  refuse_unreachable(directory);
  return true;
}
