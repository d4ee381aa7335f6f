#include "shim_process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "raw_syscall.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace gantry::spawner {
namespace {

// What the shim finds at 3, 4 and 5, and those it passes on to the container's process from 6 on.
enum : int { kPlanFd = 3, kControlFd = 4, kLockFd = 5, kFirstPreservedFd = 6 };

struct ExecPlan {
  int image, plan, control, lock, cgroup;
  const int* preserved;
  int preservedCount;
  const char* const* arguments;
  const char* const* environment;
};

// Runs in the child, on the parent's memory while the parent's thread stands still: raw calls only, nothing returns.
[[noreturn, gnu::noinline]] GANTRY_SHARES_STACK void becomeShim(const ExecPlan& plan) {
  const uint64_t noSignals = 0;
  rawSyscall(SYS_dup3, plan.plan, kPlanFd, 0);
  rawSyscall(SYS_dup3, plan.control, kControlFd, 0);
  rawSyscall(SYS_dup3, plan.lock, kLockFd, 0);
  for (int index = 0; index < plan.preservedCount; index++)
    rawSyscall(SYS_dup3, plan.preserved[index], kFirstPreservedFd + index, 0);
  // Node marks all that it was started with close-on-exec. A launcher passes them on; a shim takes others at once.
  for (int fd = 0; fd < 3; fd++) rawSyscall(SYS_fcntl, fd, F_SETFD, 0);
  // Node marks its descriptors close-on-exec; this holds for those of anybody else in the process, too.
  rawSyscall(SYS_close_range, kFirstPreservedFd + plan.preservedCount, ~0U, CLOSE_RANGE_CLOEXEC);
  rawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&noSignals), 0, sizeof noSignals);
  rawSyscall(SYS_execveat, plan.image, reinterpret_cast<long>(""), reinterpret_cast<long>(plan.arguments),
             reinterpret_cast<long>(plan.environment), AT_EMPTY_PATH);
  for (;;) rawSyscall(SYS_exit_group, 127);
}

// CLONE_VM | CLONE_VFORK: no page table is copied, however large the process. Both return to here on one stack, so the call is
// made inline: a library function's frame would be gone when the parent returns through it.
[[gnu::noinline]] GANTRY_SHARES_STACK long cloneShim(const ExecPlan& plan) {
  clone_args arguments{};
  arguments.flags = CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND;
  arguments.exit_signal = SIGCHLD;
  if (plan.cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(plan.cgroup);
  }
  const long pid = rawSyscall(SYS_clone3, reinterpret_cast<long>(&arguments), sizeof arguments);
  if (pid == 0) becomeShim(plan);
  return pid;
}

Result<UniqueFd> sealedCopy(const std::byte* bytes, size_t length) {
  UniqueFd fd(memfd_create("gantry-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return lastError("create plan file");
  for (size_t done = 0; done < length;) {
    const ssize_t wrote = write(fd.get(), bytes + done, length - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return lastError("write plan file");
    done += static_cast<size_t>(wrote);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
    return lastError("seal plan file");
  return fd;
}

// Out of the way of those that are about to be overwritten in the child.
Result<UniqueFd> moveUp(int fd, int from = 16) {
  UniqueFd moved(fcntl(fd, F_DUPFD_CLOEXEC, from));
  if (!moved) return lastError("duplicate descriptor");
  return moved;
}

}  // namespace

Result<UniqueFd> loadShim(const std::string& path) {
  UniqueFd source(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) return lastError("open shim", path);
  struct stat status {};
  if (fstat(source.get(), &status) < 0) return lastError("open shim", path);
  UniqueFd image(memfd_create("gantry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  // Before Linux 6.3 there is no MFD_EXEC, and every memfd is executable.
  if (!image && errno == EINVAL) image.reset(memfd_create("gantry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!image) return lastError("load shim", path);
  for (off_t done = 0; done < status.st_size;) {
    const ssize_t sent = sendfile(image.get(), source.get(), &done, static_cast<size_t>(status.st_size - done));
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return lastError("load shim", path);
  }
  if (fchmod(image.get(), 0555) < 0 ||
      fcntl(image.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
    return lastError("seal shim", path);
  return moveUp(image.get());
}

Result<ShimStart> startShim(int image, const std::byte* bytes, size_t length, int lock, const std::string& label,
                            int cgroup, int preservedCount) {
  auto plan = sealedCopy(bytes, length);
  if (!plan) return plan.error();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return lastError("make control socket");
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const int above = kFirstPreservedFd + preservedCount + 16;
  auto highPlan = moveUp(plan->get(), above);
  auto highControl = moveUp(theirs.get(), above);
  auto highLock = moveUp(lock, above);
  auto highImage = moveUp(image, above);
  if (!highPlan) return highPlan.error();
  if (!highControl) return highControl.error();
  if (!highLock) return highLock.error();
  if (!highImage) return highImage.error();
  std::vector<UniqueFd> preserved;
  std::vector<int> numbers;
  for (int index = 0; index < preservedCount; index++) {
    auto moved = moveUp(3 + index, above);
    if (!moved) return makeError("pass descriptor on", errno, std::to_string(3 + index));
    numbers.push_back(moved->get());
    preserved.push_back(std::move(*moved));
  }

  const char* const arguments[] = {"gantry-shim", label.c_str(), nullptr};
  const char* const environment[] = {nullptr};
  const ExecPlan exec{highImage->get(), highPlan->get(), highControl->get(), highLock->get(), cgroup,
                      numbers.data(), preservedCount, arguments, environment};
  // A handler of Node's must not run in the child, on memory it shares with us.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const long pid = cloneShim(exec);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return makeError("clone shim", static_cast<int>(-pid));
  return ShimStart{static_cast<pid_t>(pid), std::move(ours)};
}

Result<std::optional<UniqueFd>> lockFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return lastError("open lock", path);
  int answer;
  do answer = flock(fd.get(), LOCK_EX | LOCK_NB);
  while (answer < 0 && errno == EINTR);
  if (answer == 0) return std::optional<UniqueFd>(std::move(fd));
  if (errno == EWOULDBLOCK) return std::optional<UniqueFd>();
  return lastError("lock", path);
}

Result<bool> reapChild(pid_t pid) {
  pid_t got;
  do got = waitpid(pid, nullptr, WNOHANG);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno != ECHILD) return lastError("wait for shim");
  return got != 0;
}

uint64_t processStartTicks(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return 0;
  char text[1024];
  const ssize_t got = read(fd.get(), text, sizeof text - 1);
  if (got <= 0) return 0;
  text[got] = 0;
  const char* at = std::strrchr(text, ')');
  for (int field = 2; at != nullptr && field < 22; field++) at = std::strchr(at + 1, ' ');
  return at == nullptr ? 0 : std::strtoull(at + 1, nullptr, 10);
}

Result<bool> detachMount(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0) return SysError{"unmount", errno, path};
  return true;
}

Result<bool> signalProcess(pid_t pid, uint64_t startTicks, int signal) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd && errno == ESRCH) return false;
  if (!pidfd) return lastError("open pidfd");
  // Checked after the pidfd is open: from here on it cannot become another process.
  if (startTicks != 0 && processStartTicks(pid) != startTicks) return false;
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  return lastError("send signal");
}

}  // namespace gantry::spawner
