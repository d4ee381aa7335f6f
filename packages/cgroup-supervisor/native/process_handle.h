#pragma once

#include <sys/types.h>

#include "gantry/result.h"
#include "gantry/unique_fd.h"

namespace gantry::cgroup {

// A descriptor that goes on meaning this process after its pid is used again. See pidfd_open(2).
Result<UniqueFd> openProcess(pid_t pid);

// SIGKILL; true when it was sent, false when the process has ended.
Result<bool> killProcess(int pidfd);

}  // namespace gantry::cgroup
