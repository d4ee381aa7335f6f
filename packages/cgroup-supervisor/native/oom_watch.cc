#include "oom_watch.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <csignal>
#include <system_error>

namespace gantry::cgroup {

namespace {

// Token of the descriptor that ends the thread; cgroups count from 1.
constexpr uint64_t kStop = 0;

Result<UniqueFd> openPath(const std::string& path, int flags) {
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return lastError("open", path);
  }
}

Result<UniqueFd> makeEvent() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return lastError("eventfd");
  return UniqueFd(fd);
}

Result<bool> addToEpoll(int epoll, int fd, uint64_t token) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = token;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) return lastError("epoll_ctl");
  return true;
}

Result<bool> writeAll(int fd, const std::string& text, const std::string& path) {
  for (;;) {
    if (::write(fd, text.data(), text.size()) >= 0) return true;
    if (errno != EINTR) return lastError("write", path);
  }
}

}  // namespace

OomWatch::OomWatch(UniqueFd epoll, UniqueFd stop, Notify notify)
    : epoll_(std::move(epoll)), stop_(std::move(stop)), notify_(std::move(notify)) {}

Result<OomWatch*> OomWatch::start(Notify notify) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return lastError("epoll_create1");
  auto stop = makeEvent();
  if (!stop) return stop.error();
  auto added = addToEpoll(epoll.get(), stop->get(), kStop);
  if (!added) return added.error();
  auto* watch = new OomWatch(std::move(epoll), std::move(stop.value()), std::move(notify));
  // The thread takes no signal of the process: they are the event loop's.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    watch->thread_ = std::thread([watch] { watch->wait(); });
  } catch (const std::system_error& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    delete watch;
    return makeError("start a thread", error.code().value());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return watch;
}

OomWatch::~OomWatch() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  // An eventfd that nobody else writes takes this without blocking.
  while (::write(stop_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
}

Result<uint64_t> OomWatch::add(const std::string& directory) {
  const std::string controlPath = directory + "/cgroup.event_control";
  auto subject = openPath(directory + "/memory.oom_control", O_RDONLY);
  if (!subject) return subject.error();
  auto control = openPath(controlPath, O_WRONLY);
  if (!control) return control.error();
  auto event = makeEvent();
  if (!event) return event.error();
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t token = next_token_++;
  // Into epoll first: a notification between the two steps is then not lost.
  auto added = addToEpoll(epoll_.get(), event->get(), token);
  if (!added) return added.error();
  auto written = writeAll(control->get(), std::to_string(event->get()) + " " + std::to_string(subject->get()), controlPath);
  if (!written) return written.error();
  events_.emplace(token, std::move(event.value()));
  return token;
}

void OomWatch::remove(uint64_t token) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = events_.find(token);
  if (found == events_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.get(), nullptr);
  events_.erase(found);
}

void OomWatch::wait() {
  epoll_event ready[16];
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), ready, 16, -1);
    if (count < 0) {
      if (errno == EINTR) continue;
      return;
    }
    for (int at = 0; at < count; ++at) {
      const uint64_t token = ready[at].data.u64;
      if (token == kStop) return;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = events_.find(token);
        if (found == events_.end()) continue;
        uint64_t drained = 0;
        // Level-triggered: what is not drained would wake this thread for ever.
        [[maybe_unused]] const auto got = ::read(found->second.get(), &drained, sizeof drained);
      }
      notify_(token);
    }
  }
}

}  // namespace gantry::cgroup
