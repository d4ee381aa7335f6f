// What the kernel alone asks for a container: the namespaces of the benchmark's bundle, its root bound, /proc, pivot_root, execve.
// No cgroup, no limits, no capabilities, nobody who watches. Usage: kernel-floor ROOTFS COUNT; a line of nanoseconds for each start.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void must(int answer, const char *what) {
  if (answer >= 0) return;
  perror(what);
  _exit(1);
}

static void become_container(const char *root) {
  must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
  must(mount(root, root, NULL, MS_BIND, NULL), "bind root");
  must(chdir(root), "enter root");
  must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount proc");
  must((int)syscall(SYS_pivot_root, ".", "."), "pivot root");
  must(umount2(".", MNT_DETACH), "leave the old root");
  must(chdir("/"), "enter /");
  execve("/bin/true", (char *[]){"true", NULL}, (char *[]){NULL});
  must(-1, "execute /bin/true");
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const int count = atoi(argv[2]);
  for (int number = 0; number < count; number++) {
    int ends[2];
    must(pipe2(ends, O_CLOEXEC), "make pipe");
    struct clone_args arguments = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP,
        .exit_signal = SIGCHLD,
    };
    const int64_t began = now();
    const int pid = (int)syscall(SYS_clone3, &arguments, sizeof arguments);
    must(pid, "clone");
    if (pid == 0) become_container(argv[1]);
    close(ends[1]);
    char byte;
    // Its end was closed by execve.
    must((int)read(ends[0], &byte, 1), "wait for execve");
    const int64_t took = now() - began;
    close(ends[0]);
    int status;
    must(waitpid(pid, &status, 0), "wait");
    if (status != 0) return 1;
    printf("%lld\n", (long long)took);
  }
  return 0;
}
