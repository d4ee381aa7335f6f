// Which descriptors the container's command finds open: stdio, and what its caller asked to be passed on. A directory of the host
// that stayed open would be a way out of the root (CVE-2024-21626), for the working directory and the command's own path as well:
// so all others are closed before either is looked up.
#include <fcntl.h>

#include "kernel.h"
#include "shim.h"

static void sort(int *numbers, int count) {
  for (int index = 1; index < count; index++)
    for (int at = index; at > 0 && numbers[at - 1] > numbers[at]; at--) {
      int higher = numbers[at - 1];
      numbers[at - 1] = numbers[at];
      numbers[at] = higher;
    }
}

void settle_descriptors(const struct prepared *prepared, int **kept, int count) {
  int preserved = (int)prepared->preserved_descriptors, numbers[MOST_KEPT_DESCRIPTORS], open = 0;
  for (int index = 0; index < count; index++) {
    if (*kept[index] < 0) continue;
    // Out of the way of the preserved ones, where they are and where they go.
    if (*kept[index] < FIRST_PRESERVED_FD + preserved)
      *kept[index] = fcntl(*kept[index], F_DUPFD_CLOEXEC, FIRST_PRESERVED_FD + preserved);
    if (*kept[index] < 0) fail("move descriptor", "");
    numbers[open++] = *kept[index];
  }
  // Upwards: each place was left by one that is moved already.
  for (int index = 0; index < preserved; index++)
    if (dup3(FIRST_PRESERVED_FD + index, 3 + index, 0) < 0) fail("pass descriptor on", "");
  sort(numbers, open);
  unsigned from = 3 + (unsigned)preserved;
  for (int index = 0; index < open; index++) {
    unsigned number = (unsigned)numbers[index];
    if (number > from && sys_close_range(from, number - 1, 0) < 0) fail("close descriptors", "");
    from = number + 1;
  }
  if (sys_close_range(from, ~0u, 0) < 0) fail("close descriptors", "");
}
