#include "namespaces.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

namespace gantry::network {

namespace {

struct ChildArguments {
  int read_end;
  int write_end;
};

// System calls that leave errno alone: the child shares its thread-local storage with the thread that waits for it.
#if defined(__x86_64__)
long raw_call(long number, long a, long b, long c) {
  long answer;
  register long d asm("r10") = 0;
  register long e asm("r8") = 0;
  asm volatile("syscall" : "=a"(answer) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d), "r"(e) : "rcx", "r11", "memory");
  return answer;
}
#elif defined(__aarch64__)
long raw_call(long number, long a, long b, long c) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = 0;
  register long x4 asm("x4") = 0;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#else
#error "no raw system call for this architecture"
#endif

// Runs in the child. It holds its own copy of the descriptor table, so the pipe ends when the parent closes it or dies.
int wait_in_child(void* raw) {
  auto* arguments = static_cast<ChildArguments*>(raw);
  raw_call(SYS_close, arguments->write_end, 0, 0);
  char byte;
  while (raw_call(SYS_read, arguments->read_end, reinterpret_cast<long>(&byte), 1) == -EINTR) {
  }
  return 0;
}

Status write_whole(const std::string& path, const std::string& text) {
  UniqueFd fd(retry([&] { return ::open(path.c_str(), O_WRONLY | O_CLOEXEC); }));
  if (!fd) return system_error("open", path);
  if (retry([&] { return ::write(fd.get(), text.data(), text.size()); }) < 0) return system_error("write", path);
  return Done{};
}

// The child of make_namespaces: ended and reaped when this goes.
class WaitingChild {
 public:
  WaitingChild(pid_t pid, UniqueFd pidfd, UniqueFd pipe) : pid_(pid), pidfd_(std::move(pidfd)), pipe_(std::move(pipe)) {}
  ~WaitingChild() {
    pipe_.reset();
    siginfo_t info;
    retry([&] { return ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | __WALL); });
  }
  WaitingChild(const WaitingChild&) = delete;
  WaitingChild& operator=(const WaitingChild&) = delete;
  std::string file(const char* name) const { return "/proc/" + std::to_string(pid_) + "/" + name; }

 private:
  pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd pipe_;
};

Result<UniqueFd> open_file(const std::string& path) {
  UniqueFd fd(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!fd) return system_error("open", path);
  return fd;
}

}  // namespace

Result<NamespacePair> make_namespaces(const NamespaceRequest& request) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return system_error("pipe2");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  // One child at a time per thread, and it is gone before this function returns: its stack can be the thread's own.
  alignas(16) thread_local char stack[16 * 1024];
  ChildArguments arguments{read_end.get(), write_end.get()};
  int flags = CLONE_VM | CLONE_PIDFD | (request.own_net_namespace ? CLONE_NEWNET : 0) | (request.own_user_namespace ? CLONE_NEWUSER : 0);

  // No handler of ours may run in the child. No exit signal: the event loop must not see this child at all.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  pid_t pid = ::clone(wait_in_child, stack + sizeof stack, flags, &arguments, &pidfd);
  int number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    // ENOSPC: user.max_user_namespaces or user.max_net_namespaces (user_namespaces(7)).
    const char* detail = number == ENOSPC ? "the limit of user or network namespaces is reached (user.max_user_namespaces, user.max_net_namespaces)" : "";
    return SysError{"clone namespaces", number, {}, detail};
  }
  WaitingChild child(pid, UniqueFd(pidfd), std::move(write_end));

  NamespacePair pair;
  if (request.own_user_namespace) {
    std::string map = "0 " + std::to_string(request.id_base) + " " + std::to_string(request.id_count) + "\n";
    if (auto written = write_whole(child.file("uid_map"), map); !written.ok()) return written.error();
    if (auto written = write_whole(child.file("gid_map"), map); !written.ok()) return written.error();
    auto user = open_file(child.file("ns/user"));
    if (!user.ok()) return user.error();
    pair.user = std::move(user.value());
  }
  if (request.own_net_namespace) {
    auto net = open_file(child.file("ns/net"));
    if (!net.ok()) return net.error();
    pair.net = std::move(net.value());
  }
  return pair;
}

Status pin_namespace(const UniqueFd& descriptor, const std::string& path) {
  UniqueFd file(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400); }));
  if (!file) return system_error("create", path);
  std::string source = "/proc/self/fd/" + std::to_string(descriptor.get());
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) < 0) return system_error("bind mount", path);
  return Done{};
}

Status unpin_namespace(const std::string& path) {
  // EINVAL: a file without a mount, which is what a crash between create and mount leaves.
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT) return system_error("umount", path);
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) return system_error("unlink", path);
  return Done{};
}

Status share_directory(const std::string& path) {
  // Propagation of the directory's mount: a shared mount has "shared:N" among its optional fields (proc_pid_mountinfo(5)).
  FILE* table = ::fopen("/proc/self/mountinfo", "re");
  if (table == nullptr) return system_error("open", "/proc/self/mountinfo");
  bool mounted = false;
  bool shared = false;
  char* line = nullptr;
  size_t room = 0;
  while (::getline(&line, &room, table) > 0) {
    std::string text(line);
    size_t start = 0;
    for (int field = 0; field < 4 && start != std::string::npos; field++) start = text.find(' ', start + (field > 0 ? 1 : 0));
    if (start == std::string::npos) continue;
    size_t stop = text.find(' ', start + 1);
    if (stop == std::string::npos || text.substr(start + 1, stop - start - 1) != path) continue;
    mounted = true;
    shared = text.substr(stop, text.find(" - ") - stop).find("shared:") != std::string::npos;
  }
  ::free(line);
  ::fclose(table);
  if (!mounted && ::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) < 0) return system_error("bind mount", path);
  if (!shared && ::mount(nullptr, path.c_str(), nullptr, MS_SHARED, nullptr) < 0) return system_error("make shared", path);
  return Done{};
}

Status release_directory(const std::string& path) {
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT) return system_error("umount", path);
  return Done{};
}

Result<NetNamespaceScope> NetNamespaceScope::enter(int home, int target) {
  if (::setns(target, CLONE_NEWNET) < 0) return system_error("setns(CLONE_NEWNET)");
  return NetNamespaceScope(home);
}

NetNamespaceScope::~NetNamespaceScope() {
  // A thread lost in a container's namespace would configure the wrong host from then on.
  if (home_ >= 0 && ::setns(home_, CLONE_NEWNET) < 0) ::abort();
}

Result<UniqueFd> open_own_net_namespace() { return open_file("/proc/thread-self/ns/net"); }

}  // namespace gantry::network
