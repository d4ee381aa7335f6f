// HOME of a process whose environment has none, or an empty one: programs expect it, and who the user is only the container's own files say.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kernel.h"
#include "shim.h"

// Lines beyond are not looked at; a longer one is no user's.
enum { LARGEST_PASSWD = 1 << 20 };

// The container's own file may be anything: a fifo must not hold us up, a magic link must not lead out.
static char *read_passwd(void) {
  struct open_how_arguments how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                                   .resolve = NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how);
  struct stat status;
  if (fd < 0) return NULL;
  char *text = NULL;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
    text = mmap(NULL, LARGEST_PASSWD + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED) text = NULL;
  }
  for (size_t used = 0; text != NULL && used < LARGEST_PASSWD;) {
    ssize_t got = read(fd, text + used, LARGEST_PASSWD - used);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    used += (size_t)got;
  }
  close(fd);
  return text;
}

// name:password:uid:gid:comment:home:shell
static const char *home_in_line(char *line, uid_t uid) {
  char *field[6] = {line};
  for (int index = 1; index < 6; index++) {
    char *colon = strchr(field[index - 1], ':');
    if (colon == NULL) return NULL;
    *colon = 0;
    field[index] = colon + 1;
  }
  char *end;
  unsigned long number = strtoul(field[2], &end, 10);
  if (end == field[2] || *end != 0 || number != uid) return NULL;
  field[5][strcspn(field[5], ":")] = 0;
  return field[5][0] == '/' && strlen(field[5]) < PATH_MAX ? field[5] : NULL;
}

static const char *home_of(uid_t uid) {
  for (char *line = read_passwd(), *next; line != NULL && *line != 0; line = next) {
    char *end = strchrnul(line, '\n');
    next = *end == 0 ? end : end + 1;
    *end = 0;
    const char *home = home_in_line(line, uid);
    if (home != NULL) return home;
  }
  return "/";
}

char **with_home(char **environment, uid_t uid) {
  static char pair[PATH_MAX + sizeof "HOME="];
  size_t count = 0;
  char **empty = NULL;
  for (; environment[count] != NULL; count++) {
    if (strncmp(environment[count], "HOME=", 5) != 0) continue;
    if (environment[count][5] != 0) return environment;
    empty = &environment[count];
  }
  snprintf(pair, sizeof pair, "HOME=%s", home_of(uid));
  if (empty != NULL) return *empty = pair, environment;
  char **longer = mmap(NULL, (count + 2) * sizeof *longer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (longer == MAP_FAILED) fail("set HOME", "");
  memcpy(longer, environment, count * sizeof *longer);
  longer[count] = pair;
  return longer;
}
