// Bind mounts: what is shown of the host, cloned from its mounts.
//
// In the order of the plan where that can be: mountinfo lists mounts in the order in which they came to be, and a clone is one from
// its beginning. Without a user namespace init clones each source in turn, from its own copy of the host's mounts. Else the launcher
// clones all of them beforehand: a process in the container's user namespace may not clone host mounts with locked children, and
// only the host's root may id-map them.
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kernel.h"
#include "shim.h"

enum { BIND_ABSENT = -1, BIND_IN_TURN = -2 };

struct bind {
  const char *source, *target;
  uint32_t flags;
  // Of the top mount alone, and of all of them.
  struct mount_attributes top, whole;
  const char *uids, *gids;
};

static struct bind read_bind(struct cursor *body) {
  struct bind bind = {0};
  bind.source = read_string(body);
  bind.target = read_string(body);
  bind.flags = read_u32(body);
  bind.top.attr_set = read_u64(body);
  bind.top.attr_clr = read_u64(body);
  bind.whole.attr_set = read_u64(body);
  bind.whole.attr_clr = read_u64(body);
  bind.whole.propagation = read_u64(body);
  bind.uids = read_string(body);
  bind.gids = read_string(body);
  if (body->bad) fail_with(EBADMSG, "read plan", "bind mount");
  return bind;
}

static int clone_source(const struct prepared *prepared, struct bind *bind, int source) {
  bool recursive = (bind->flags & MOUNT_RECURSIVE) != 0;
  int mapping = -1;
  if (bind->flags & MOUNT_IDMAP) {
    mapping = bind->uids[0] != 0 ? make_mapping(bind->uids, bind->gids) : prepared->user_namespace;
    if (mapping >= 0) {
      bind->whole.attr_set |= ATTR_IDMAP;
      bind->whole.userns_fd = (uint64_t)mapping;
    }
  }
  if (!recursive) {
    bind->whole.attr_set |= bind->top.attr_set;
    bind->whole.attr_clr = bind->top.attr_clr;
  }
  int tree = clone_mount(source, bind->source, recursive, &bind->whole, "prepare bind mount");
  if (recursive && (bind->top.attr_set | bind->top.attr_clr) != 0 &&
      sys_mount_setattr(tree, "", AT_EMPTY_PATH, &bind->top) < 0)
    fail("prepare bind mount", bind->source);
  if (bind->uids[0] != 0 && mapping >= 0) close(mapping);
  return tree;
}

bool host_mounts_are_copied(const struct prepared *prepared) {
  return (prepared->new_namespaces & CLONE_NEWNS) != 0 && prepared->user_namespace < 0 &&
         !prepared->is_inside_user_namespace && !(prepared->flags & FLAG_NO_PIVOT);
}

// A peer of the host's mount, which the copies that init has are not any more.
static bool reaches_host(const struct prepared *prepared, const struct bind *bind) {
  struct record record;
  return (bind->whole.propagation & MS_SHARED) != 0 && find_record(prepared->plan, TAG_ROOT_PROPAGATION, &record) &&
         (read_u64(&record.body) & MS_SHARED) != 0;
}

void prepare_bind(struct prepared *prepared, struct cursor *body) {
  struct bind bind = read_bind(body);
  if (prepared->bind_count == MAX_BINDS) fail_with(E2BIG, "bind mount", bind.target);
  int slot = prepared->bind_count++;
  // A link of procfs leads to what this very process has open, or is in.
  struct open_how_arguments how = {.flags = O_PATH | O_CLOEXEC, .resolve = NO_MAGICLINKS};
  bool in_turn = host_mounts_are_copied(prepared) && !(bind.flags & MOUNT_IDMAP) && !reaches_host(prepared, &bind);
  int source = in_turn ? (int)syscall(SYS_openat2, AT_FDCWD, bind.source, &how, sizeof how) : -1;
  if (source >= 0) {
    close(source);
    prepared->binds[slot] = BIND_IN_TURN;
    return;
  }
  source = open(bind.source, O_PATH | O_CLOEXEC);
  if (source < 0) {
    if (!(bind.flags & MOUNT_TOLERATED)) fail("open mount source", bind.source);
    prepared->binds[slot] = BIND_ABSENT;
    return;
  }
  prepared->binds[slot] = clone_source(prepared, &bind, source);
}

void attach_bind(const struct prepared *prepared, int slot, struct cursor *body, int root) {
  struct bind bind = read_bind(body);
  int tree = prepared->binds[slot];
  if (tree == BIND_ABSENT) return;
  if (tree == BIND_IN_TURN) {
    int source = open(bind.source, O_PATH | O_CLOEXEC);
    if (source < 0) fail("open mount source", bind.source);
    tree = clone_source(prepared, &bind, source);
  }
  struct stat status;
  if (fstat(tree, &status) < 0) fail("bind mount", bind.source);
  int target = open_target(root, bind.target, S_ISDIR(status.st_mode));
  if (sys_attach(tree, target) < 0) fail("bind mount", bind.target);
  close(target);
  if (prepared->binds[slot] == BIND_IN_TURN) close(tree);
}
