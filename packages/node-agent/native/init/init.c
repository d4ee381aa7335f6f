// gantry-init: process 1 of a container started with --init. It runs the command as its child, hands every signal on, reaps
// whatever the container leaves behind, and ends as the command ended. Static and without dependencies: it runs in any image.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// As shells and docker have it.
enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127, SIGNALLED = 128 };

static int run_command(char **command, const sigset_t *inherited) {
  // A process group of its own, so that a terminal's Ctrl-C reaches the command and not us.
  if (setpgid(0, 0) == 0) {
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(STDIN_FILENO, getpgrp());
    signal(SIGTTOU, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, inherited, NULL);
  execvp(command[0], command);
  int failure = errno;
  fprintf(stderr, "gantry-init: %s: %s\n", command[0], strerror(failure));
  return failure == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}

// Reaps all that have ended; true when the command is among them.
static int reap(pid_t command, int *status) {
  int ended = 0;
  for (;;) {
    int found;
    pid_t pid = waitpid(-1, &found, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return ended;
    if (pid == command) {
      *status = found;
      ended = 1;
    }
  }
}

int main(int count, char **arguments) {
  // podman ends its words for an init before the command's begin.
  char **command_words = count > 1 && strcmp(arguments[1], "--") == 0 ? arguments + 2 : arguments + 1;
  if (count < 2 || *command_words == NULL) {
    fputs("gantry-init: no command\n", stderr);
    return NOT_FOUND;
  }
  sigset_t all, inherited;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &inherited);
  pid_t command = fork();
  if (command < 0) {
    perror("gantry-init: fork");
    return NOT_EXECUTABLE;
  }
  if (command == 0) _exit(run_command(command_words, &inherited));
  for (int status = 0;;) {
    siginfo_t info;
    int number = sigwaitinfo(&all, &info);
    if (number < 0) continue;
    if (number != SIGCHLD) {
      kill(command, number);
      continue;
    }
    if (!reap(command, &status)) continue;
    return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
  }
}
