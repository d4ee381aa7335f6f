// AppArmor profile and SELinux label, which the kernel applies at the next execve.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kernel.h"
#include "shim.h"

enum { PROC_MAGIC = 0x9fa0, PROC_ROOT_INODE = 1 };

// What lies at /proc may be anything that the image or a mount put there: a write that ends elsewhere would leave the process
// unconfined without anybody noticing.
static int open_attribute(const char *name) {
  char path[64];
  struct statfs facts;
  struct stat status;
  int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return -1;
  if (fstatfs(proc, &facts) < 0 || fstat(proc, &status) < 0) return -1;
  if (facts.f_type != PROC_MAGIC || status.st_ino != PROC_ROOT_INODE) return errno = EXDEV, -1;
  snprintf(path, sizeof path, "self/attr/%s", name);
  struct open_how_arguments how = {.flags = O_WRONLY | O_CLOEXEC, .resolve = BENEATH | NO_CROSSING | NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, proc, path, &how, sizeof how);
  int saved = errno;
  close(proc);
  errno = saved;
  return fd;
}

void apply_labels(const struct plan *plan) {
  struct cursor records = plan_records(plan);
  struct record record;
  while (next_record(&records, &record)) {
    if (record.tag != TAG_SECURITY_LABEL) continue;
    const char *name = read_string(&record.body), *label = read_string(&record.body);
    if (record.body.bad) fail_with(EBADMSG, "read plan", "security label");
    int fd = open_attribute(name);
    // Kernels before 5.8 have AppArmor's files among the common ones.
    if (fd < 0 && errno == ENOENT && strchr(name, '/') != NULL) fd = open_attribute(strchr(name, '/') + 1);
    if (fd < 0 || write(fd, label, strlen(label)) < 0) fail("set security label", label);
    close(fd);
  }
}
