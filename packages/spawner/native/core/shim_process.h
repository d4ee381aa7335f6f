// Starting gantry-shim from a threaded process, and what is done to processes afterwards.
#pragma once

#include <gantry/result.h>
#include <gantry/unique_fd.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace gantry::spawner {

// A sealed copy of the shim's binary in memory: every shim runs from it, so replacing the file on disk disturbs none, and a
// container that reaches /proc/<pid>/exe of a process on its way in finds nothing it could write to.
Result<UniqueFd> loadShim(const std::string& path);

struct ShimStart {
  pid_t pid;
  // Connected stream socket: the shim's first client. The first frame says whether the container started.
  UniqueFd control;
};

// `lock` is given to the shim, which holds it as long as it lives. `cgroup`: a v2 directory that it is born in; -1 for ours.
// `preservedCount` of our descriptors, from 3 on, are passed on to the container's process.
Result<ShimStart> startShim(int image, const std::byte* plan, size_t planLength, int lock, const std::string& label, int cgroup,
                            int preservedCount);

// Takes the lock file's exclusive lock; empty when another process holds it.
Result<std::optional<UniqueFd>> lockFile(const std::string& path);

// True once the child is reaped, or is no child of ours (any more).
Result<bool> reapChild(pid_t pid);

// Signals the process `pid` if it is the one that started at `startTicks` (field 22 of /proc/<pid>/stat; 0 skips the check).
// False when that process is gone.
// Detaches the mount that lies topmost at `path`, with all that is mounted beneath it.
Result<bool> detachMount(const std::string& path);
Result<bool> signalProcess(pid_t pid, uint64_t startTicks, int signal);

// Field 22 of /proc/<pid>/stat; 0 when there is no such process.
uint64_t processStartTicks(pid_t pid);

}  // namespace gantry::spawner
