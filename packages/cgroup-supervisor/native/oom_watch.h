#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "gantry/result.h"
#include "gantry/unique_fd.h"

namespace gantry::cgroup {

// Waits on one thread for cgroup v1's out-of-memory notifications of any number of cgroups.
//
//   add() ── eventfd ──> cgroup.event_control: "<eventfd> <fd of memory.oom_control>"
//                            kernel: OOM ──> eventfd readable ──> epoll ──> notify(token)
//
// The thread sleeps in epoll_wait: nothing runs while nothing happens.
class OomWatch {
 public:
  // Called on the watching thread with the token of the cgroup concerned.
  using Notify = std::function<void(uint64_t token)>;

  static Result<OomWatch*> start(Notify notify);
  ~OomWatch();
  OomWatch(const OomWatch&) = delete;
  OomWatch& operator=(const OomWatch&) = delete;

  // Registers with the cgroup in `directory`, a path in the memory hierarchy.
  Result<uint64_t> add(const std::string& directory);
  // Closing the eventfd is what unregisters it with the kernel. An unknown token is nothing to do.
  void remove(uint64_t token);

 private:
  OomWatch(UniqueFd epoll, UniqueFd stop, Notify notify);
  void wait();

  UniqueFd epoll_;
  UniqueFd stop_;
  Notify notify_;
  std::mutex mutex_;
  std::map<uint64_t, UniqueFd> events_;
  uint64_t next_token_ = 1;
  std::thread thread_;
};

}  // namespace gantry::cgroup
