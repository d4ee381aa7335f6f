// One native thread with a queue. System calls that may block, or that change the calling thread's namespace,
// run on such a thread: never on the event loop, never on libuv's pool.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace gantry::network {

class KernelThread {
 public:
  explicit KernelThread(const char* name);
  KernelThread(const KernelThread&) = delete;
  KernelThread& operator=(const KernelThread&) = delete;
  // Finishes what is queued, then ends the thread.
  ~KernelThread();

  void post(std::function<void()> job);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gantry::network
