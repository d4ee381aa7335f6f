#include "seccomp_filter.h"

#include <gantry/unique_fd.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <type_traits>

namespace gantry::spawner {
namespace {

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

Result<SeccompProgram> compileSeccomp(const SeccompProfile& profile) {
  Context context(seccomp_init(profile.defaultAction));
  if (!context) return makeError("create seccomp filter", EINVAL);
  // The shim decides about no_new_privs, not the filter's loader.
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
  // A binary tree over the syscall numbers, instead of hundreds of comparisons in a row.
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const auto& name : profile.architectures) {
    const uint32_t token = seccomp_arch_resolve_name(name.c_str());
    if (token == 0) return makeError("add seccomp architecture", EINVAL, name);
    const int answer = seccomp_arch_add(context.get(), token);
    if (answer < 0 && answer != -EEXIST) return makeError("add seccomp architecture", -answer, name);
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
    // EDOM: not representable on one of the architectures (a multiplexed call of 32-bit x86); EEXIST: said before.
    if (answer < 0 && answer != -EEXIST && answer != -EDOM && answer != -EOPNOTSUPP)
      return makeError("add seccomp rule", -answer, rule.syscall);
  }
  auto bytes = exportProgram(context.get());
  if (!bytes) return bytes.error();
  program.instructions = std::move(*bytes);
  return program;
}

}  // namespace gantry::spawner
