#include "device_filter.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace gantry::cgroup {

namespace {

// What the program keeps in registers. R1 is the context on entry.
constexpr uint8_t kResult = BPF_REG_0;
constexpr uint8_t kContext = BPF_REG_1;
constexpr uint8_t kPending = BPF_REG_2;  // access that no rule has allowed yet
constexpr uint8_t kType = BPF_REG_3;
constexpr uint8_t kMajor = BPF_REG_4;
constexpr uint8_t kMinor = BPF_REG_5;

bpf_insn instruction(uint8_t code, uint8_t destination, uint8_t source, int16_t offset, int32_t immediate) {
  bpf_insn made{};
  made.code = code;
  made.dst_reg = destination;
  made.src_reg = source;
  made.off = offset;
  made.imm = immediate;
  return made;
}

bpf_insn load(uint8_t destination, size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, destination, kContext, static_cast<int16_t>(offset), 0);
}

void answer(std::vector<bpf_insn>& program, bool allow) {
  program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, kResult, 0, 0, allow ? 1 : 0));
  program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

// The last rule for an access counts, hence backwards: an allowing rule takes its access off what is pending, and
// nothing pending is "yes"; a denying rule that meets pending access is "no".
std::vector<bpf_insn> compile(const std::vector<DeviceRule>& rules) {
  std::vector<bpf_insn> program = {
      load(kPending, offsetof(bpf_cgroup_dev_ctx, access_type)),
      load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, kType, kPending, 0, 0),
      // access_type is (access << 16) | type.
      instruction(BPF_ALU | BPF_AND | BPF_K, kType, 0, 0, 0xffff),
      instruction(BPF_ALU | BPF_RSH | BPF_K, kPending, 0, 0, 16),
  };
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    std::vector<bpf_insn> body;
    if (rule->allow) {
      body.push_back(instruction(BPF_ALU | BPF_AND | BPF_K, kPending, 0, 0, ~rule->access));
      body.push_back(instruction(BPF_JMP | BPF_JNE | BPF_K, kPending, 0, 2, 0));
      answer(body, true);
    } else {
      body.push_back(instruction(BPF_JMP | BPF_JSET | BPF_K, kPending, 0, 1, rule->access));
      body.push_back(instruction(BPF_JMP | BPF_JA, 0, 0, 2, 0));
      answer(body, false);
    }
    struct Test {
      uint8_t where;
      int32_t wanted;
      bool asked;
    };
    const Test tests[] = {{kType, rule->type, rule->type != 0},
                          {kMajor, rule->major, rule->major >= 0},
                          {kMinor, rule->minor, rule->minor >= 0}};
    size_t left = 0;
    for (const auto& test : tests) left += test.asked ? 1 : 0;
    for (const auto& test : tests) {
      if (!test.asked) continue;
      left--;
      const auto skip = static_cast<int16_t>(left + body.size());
      program.push_back(instruction(BPF_JMP | BPF_JNE | BPF_K, test.where, 0, skip, test.wanted));
    }
    program.insert(program.end(), body.begin(), body.end());
  }
  answer(program, false);
  return program;
}

long bpf(int command, bpf_attr* attributes) { return ::syscall(SYS_bpf, command, attributes, sizeof(*attributes)); }

Result<UniqueFd> loadProgram(const std::vector<DeviceRule>& rules) {
  const auto program = compile(rules);
  static const char license[] = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.license = reinterpret_cast<uint64_t>(license);
  // Close-on-exec by definition.
  const long fd = bpf(BPF_PROG_LOAD, &attributes);
  if (fd < 0) return lastError("load the device program");
  return UniqueFd(static_cast<int>(fd));
}

// Descriptors of the programs attached to this cgroup itself.
Result<std::vector<UniqueFd>> attachedPrograms(int cgroup) {
  uint32_t ids[64];
  bpf_attr query{};
  query.query.target_fd = static_cast<uint32_t>(cgroup);
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = reinterpret_cast<uint64_t>(ids);
  query.query.prog_cnt = sizeof(ids) / sizeof(ids[0]);
  if (bpf(BPF_PROG_QUERY, &query) != 0) return lastError("query the device programs");
  std::vector<UniqueFd> programs;
  for (uint32_t index = 0; index < query.query.prog_cnt; index++) {
    bpf_attr open{};
    open.prog_id = ids[index];
    const long fd = bpf(BPF_PROG_GET_FD_BY_ID, &open);
    // It was taken off meanwhile.
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0) return lastError("open a device program");
    programs.emplace_back(static_cast<int>(fd));
  }
  return programs;
}

bool attach(int cgroup, int program, int replaced) {
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup);
  attributes.attach_bpf_fd = static_cast<uint32_t>(program);
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (replaced >= 0) {
    attributes.attach_flags |= BPF_F_REPLACE;
    attributes.replace_bpf_fd = static_cast<uint32_t>(replaced);
  }
  return bpf(BPF_PROG_ATTACH, &attributes) == 0;
}

bool detach(int cgroup, int program) {
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup);
  attributes.attach_bpf_fd = static_cast<uint32_t>(program);
  attributes.attach_type = BPF_CGROUP_DEVICE;
  return bpf(BPF_PROG_DETACH, &attributes) == 0;
}

}  // namespace

Result<bool> restrictDevices(const std::string& directory, const std::vector<DeviceRule>& rules) {
  UniqueFd cgroup(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.valid()) return lastError("open the cgroup", directory);
  auto program = loadProgram(rules);
  if (!program) return program.error();
  auto earlier = attachedPrograms(cgroup.get());
  if (!earlier) return earlier.error();
  const bool replaces = earlier->size() == 1;
  if (!attach(cgroup.get(), program->get(), replaces ? earlier->front().get() : -1))
    return lastError("attach the device program", directory);
  // One cannot be replaced by several: all must allow, so that the cgroup is at no time more open than asked.
  if (!replaces)
    for (const auto& old : *earlier)
      if (!detach(cgroup.get(), old.get())) return lastError("take off a device program", directory);
  return true;
}

bool canRestrictDevices() { return static_cast<bool>(loadProgram({})); }

}  // namespace gantry::cgroup
