#include "process_handle.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

namespace gantry::cgroup {

Result<UniqueFd> openProcess(pid_t pid) {
  // Close-on-exec by definition.
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return lastError("pidfd_open");
  return UniqueFd(static_cast<int>(fd));
}

Result<bool> killProcess(int pidfd) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  return lastError("pidfd_send_signal");
}

}  // namespace gantry::cgroup
