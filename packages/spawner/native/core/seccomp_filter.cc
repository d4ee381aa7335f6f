#include "seccomp_filter.h"

#include <gantry/unique_fd.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <type_traits>

namespace gantry::spawner {
namespace {

// SECCOMP_FILTER_FLAG_*, the second of Linux 5.19.
constexpr uint32_t kNewListener = 1U << 3, kWaitKillableRecv = 1U << 5;

struct ContextDeleter {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, ContextDeleter>;

Result<std::vector<uint8_t>> exportProgram(scmp_filter_ctx context) {
  UniqueFd fd(memfd_create("gantry-seccomp", MFD_CLOEXEC));
  if (!fd) return lastError("export seccomp program");
  if (const int answer = seccomp_export_bpf(context, fd.get()); answer < 0)
    return makeError("export seccomp program", -answer);
  struct stat status {};
  if (fstat(fd.get(), &status) < 0) return lastError("export seccomp program");
  std::vector<uint8_t> bytes(static_cast<size_t>(status.st_size));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = pread(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (got <= 0) return lastError("export seccomp program");
    done += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace

SeccompFacts seccompFacts() {
  const scmp_version* version = seccomp_version();
  SeccompFacts facts{std::to_string(version->major) + "." + std::to_string(version->minor) + "." + std::to_string(version->micro), 0};
  // Without a program: a flag that is known gets as far as missing it. The last one is for listeners only.
  for (const uint32_t flag : {1U << 0, 1U << 1, 1U << 2, kWaitKillableRecv}) {
    const uint32_t asked = flag == kWaitKillableRecv ? flag | kNewListener : flag;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, asked, nullptr) < 0 && errno == EFAULT) facts.flags |= flag;
  }
  return facts;
}

Result<SeccompProgram> compileSeccomp(const SeccompProfile& profile) {
  Context context(seccomp_init(profile.defaultAction));
  if (!context) return makeError("create seccomp filter", EINVAL);
  // The shim decides about no_new_privs, not the filter's loader.
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
  // A binary tree over the syscall numbers, instead of hundreds of comparisons in a row. For a few rules it gains nothing, and
  // libseccomp up to 2.5.4 makes a broken program of none at all.
  if (profile.rules.size() > 32) seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const auto& name : profile.architectures) {
    const uint32_t token = seccomp_arch_resolve_name(name.c_str());
    // Not known to this libseccomp, or of the other byte order: this machine runs no such program, and one that claims to be of an
    // architecture that was not added is killed.
    if (token == 0) continue;
    const int answer = seccomp_arch_add(context.get(), token);
    if (answer < 0 && answer != -EEXIST && answer != -EDOM) return makeError("add seccomp architecture", -answer, name);
  }
  SeccompProgram program{{}, 0};
  for (const auto& rule : profile.rules) {
    // The same as the default is what happens without the rule, and libseccomp refuses it.
    if (rule.action == profile.defaultAction) continue;
    const int number = seccomp_syscall_resolve_name(rule.syscall.c_str());
    if (number == __NR_SCMP_ERROR) {
      program.unknownSyscalls++;
      continue;
    }
    std::vector<scmp_arg_cmp> conditions;
    for (const auto& condition : rule.conditions)
      conditions.push_back({condition.argument, static_cast<scmp_compare>(condition.comparison), condition.value,
                            condition.valueTwo});
    const int answer = seccomp_rule_add_array(context.get(), rule.action, number,
                                              static_cast<unsigned>(conditions.size()), conditions.data());
    // EEXIST: another action for the same conditions. A rule that were left out could be the one that refuses.
    if (answer < 0) return makeError("add seccomp rule", -answer, rule.syscall);
  }
  auto bytes = exportProgram(context.get());
  if (!bytes) return bytes.error();
  program.instructions = std::move(*bytes);
  return program;
}

}  // namespace gantry::spawner
