#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gantry/result.h"
#include "gantry/unique_fd.h"

namespace gantry::cgroup {

// One rule of the runtime-spec's list; -1 for any number.
struct DeviceRule {
  bool allow;
  // 0 for all, else the kernel's BPF_DEVCG_DEV_BLOCK (1) or BPF_DEVCG_DEV_CHAR (2).
  int32_t type;
  int32_t major;
  int32_t minor;
  // The kernel's BPF_DEVCG_ACC_MKNOD (1), _READ (2), _WRITE (4).
  int32_t access;
};

// Compiles the rules into a BPF_PROG_TYPE_CGROUP_DEVICE program and attaches it to the v2 cgroup in `directory`.
//
// Attached beside what parents have (each must allow), replacing in one step a program attached here before; others
// that may be attached here are taken off. See bpf(2) and "Device controller" in cgroup-v2.rst.
Result<bool> restrictDevices(const std::string& directory, const std::vector<DeviceRule>& rules);

// Whether the kernel takes such a program from this process.
bool canRestrictDevices();

}  // namespace gantry::cgroup
