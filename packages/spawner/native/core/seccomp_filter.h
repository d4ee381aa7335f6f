// From the runtime-spec's seccomp rules to a BPF program, by libseccomp.
#pragma once

#include <gantry/result.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gantry::spawner {

struct SeccompCondition {
  uint32_t argument;
  uint32_t comparison;  // enum scmp_compare
  uint64_t value, valueTwo;
};

struct SeccompRule {
  std::string syscall;
  uint32_t action;
  std::vector<SeccompCondition> conditions;
};

struct SeccompProfile {
  uint32_t defaultAction;
  std::vector<std::string> architectures;  // libseccomp's names: "x86_64", "x86", ...
  std::vector<SeccompRule> rules;
};

struct SeccompProgram {
  std::vector<uint8_t> instructions;
  // Names that no architecture of the profile has; left out.
  uint32_t unknownSyscalls;
};

// What programs and their loading depend on of this machine.
struct SeccompFacts {
  std::string libraryVersion;
  uint32_t flags;  // SECCOMP_FILTER_FLAG_* that the kernel has
};

SeccompFacts seccompFacts();

Result<SeccompProgram> compileSeccomp(const SeccompProfile& profile);

}  // namespace gantry::spawner
