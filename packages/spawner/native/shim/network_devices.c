// Network devices that move from the host's network namespace into the container's, and keep their lasting addresses.
//
// Only the host's root may take a device away from the host, and only once the container's network namespace exists: a helper of
// the stage, made before the stage enters the container's user namespace, does it as soon as the stage is where they go.
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kernel.h"
#include "shim.h"

enum { MESSAGE_SIZE = 512, MAX_ADDRESSES = 64, MAX_LENGTH_NAME = 16 };

struct message {
  struct nlmsghdr header;
  union {
    struct ifinfomsg link;
    struct ifaddrmsg address;
  } body;
  char attributes[MESSAGE_SIZE];
};

// What makes an address of its own: all but the names of the device it was on.
struct kept_address {
  struct ifaddrmsg about;
  uint32_t flags;
  unsigned char local[16], peer[16], broadcast[16];
  unsigned char local_length, peer_length, broadcast_length;
};

static int open_netlink(const char *device) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) fail("open netlink", device);
  return fd;
}

static void begin_link(struct message *message, int index) {
  *message = (struct message){.header = {.nlmsg_len = NLMSG_LENGTH(sizeof message->body.link),
                                         .nlmsg_type = RTM_NEWLINK,
                                         .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
                              .body.link = {.ifi_family = AF_UNSPEC, .ifi_index = index}};
}

static void add_attribute(struct message *message, unsigned short type, const void *value, size_t length) {
  char *at = (char *)message + NLMSG_ALIGN(message->header.nlmsg_len);
  struct rtattr attribute = {(unsigned short)RTA_LENGTH(length), type};
  memcpy(at, &attribute, sizeof attribute);
  memcpy(at + RTA_LENGTH(0), value, length);
  message->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(message->header.nlmsg_len) + RTA_LENGTH(length));
}

// 0, or the errno that the kernel answered.
static int request(int netlink, const struct message *message) {
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[MESSAGE_SIZE * 2];
  } answer;
  if (send(netlink, message, message->header.nlmsg_len, 0) < 0) return errno;
  ssize_t got;
  do got = recv(netlink, &answer, sizeof answer, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return errno;
  if ((size_t)got < NLMSG_LENGTH(sizeof answer.error) || answer.header.nlmsg_type != NLMSG_ERROR) return EBADMSG;
  return -answer.error.error;
}

static void copy_address(const struct rtattr *attribute, unsigned char *into, unsigned char *length) {
  size_t size = RTA_PAYLOAD(attribute);
  if (size > 16) return;
  memcpy(into, RTA_DATA(attribute), size);
  *length = (unsigned char)size;
}

static void keep_address(const struct nlmsghdr *header, int index, struct kept_address *kept, int *count) {
  struct ifaddrmsg about;
  memcpy(&about, NLMSG_DATA(header), sizeof about);
  if ((int)about.ifa_index != index || about.ifa_scope != RT_SCOPE_UNIVERSE) return;
  struct kept_address one = {.about = about, .flags = about.ifa_flags};
  int left = (int)IFA_PAYLOAD(header);
  for (struct rtattr *attribute = IFA_RTA(NLMSG_DATA(header)); RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == IFA_FLAGS) memcpy(&one.flags, RTA_DATA(attribute), sizeof one.flags);
    if (attribute->rta_type == IFA_LOCAL) copy_address(attribute, one.local, &one.local_length);
    if (attribute->rta_type == IFA_ADDRESS) copy_address(attribute, one.peer, &one.peer_length);
    if (attribute->rta_type == IFA_BROADCAST) copy_address(attribute, one.broadcast, &one.broadcast_length);
  }
  // Leased or announced addresses mean nothing in another place.
  if (!(one.flags & IFA_F_PERMANENT)) return;
  if (*count == MAX_ADDRESSES) fail_with(E2BIG, "read addresses of network device", "");
  kept[(*count)++] = one;
}

static int read_addresses(int netlink, int index, const char *device, struct kept_address *kept) {
  struct message ask = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof ask.body.address),
                                   .nlmsg_type = RTM_GETADDR,
                                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
  if (send(netlink, &ask, ask.header.nlmsg_len, 0) < 0) fail("read addresses of network device", device);
  static char buffer[32768] __attribute__((aligned(8)));
  int count = 0;
  for (;;) {
    ssize_t got = recv(netlink, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("read addresses of network device", device);
    int left = (int)got;
    for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, (unsigned)left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return count;
      if (header->nlmsg_type == NLMSG_ERROR) fail_with(EIO, "read addresses of network device", device);
      if (header->nlmsg_type == RTM_NEWADDR) keep_address(header, index, kept, &count);
    }
  }
}

static void give_address(int netlink, int index, const char *device, const struct kept_address *kept) {
  struct message message = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof message.body.address),
                                       .nlmsg_type = RTM_NEWADDR,
                                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
                            .body.address = kept->about};
  message.body.address.ifa_index = (unsigned)index;
  message.body.address.ifa_flags = 0;
  if (kept->local_length > 0) add_attribute(&message, IFA_LOCAL, kept->local, kept->local_length);
  if (kept->peer_length > 0) add_attribute(&message, IFA_ADDRESS, kept->peer, kept->peer_length);
  if (kept->broadcast_length > 0) add_attribute(&message, IFA_BROADCAST, kept->broadcast, kept->broadcast_length);
  // Whether another machine has this address was found out where the device comes from.
  uint32_t flags = (kept->flags & (IFA_F_NOPREFIXROUTE | IFA_F_HOMEADDRESS)) | (kept->about.ifa_family == AF_INET6 ? IFA_F_NODAD : 0);
  if (flags != 0) add_attribute(&message, IFA_FLAGS, &flags, sizeof flags);
  int error = request(netlink, &message);
  if (error != 0 && error != EEXIST) fail_with(error, "give address to network device", device);
}

static void set_up(int netlink, int index, bool up, const char *device) {
  struct message message;
  begin_link(&message, index);
  message.body.link.ifi_change = IFF_UP;
  message.body.link.ifi_flags = up ? IFF_UP : 0;
  int error = request(netlink, &message);
  if (error != 0) fail_with(error, up ? "set network device up" : "set network device down", device);
}

// The one that was not there before: the kernel may have changed its index, and with a template its name.
static int find_newcomer(const struct if_nameindex *before, const char *device) {
  struct if_nameindex *now = if_nameindex();
  if (before == NULL || now == NULL) fail("list network devices", device);
  int found = 0;
  for (struct if_nameindex *one = now; one->if_index != 0 && found == 0; one++) {
    const struct if_nameindex *old = before;
    while (old->if_index != 0 && old->if_index != one->if_index) old++;
    if (old->if_index == 0) found = (int)one->if_index;
  }
  if (found == 0) fail_with(ENODEV, "find moved network device", device);
  return found;
}

static void enter_network(int namespace, const char *device) {
  if (setns(namespace, CLONE_NEWNET) < 0) fail("enter network namespace", device);
}

static void move_device(const char *device, const char *inside, int home, int target) {
  struct kept_address kept[MAX_ADDRESSES];
  enter_network(target, device);
  struct if_nameindex *before = if_nameindex();
  enter_network(home, device);
  int netlink = open_netlink(device);
  int index = (int)if_nametoindex(device);
  if (index == 0) fail("find network device", device);
  int count = read_addresses(netlink, index, device, kept);
  set_up(netlink, index, false, device);
  struct message message;
  begin_link(&message, index);
  // Both at once: under its old name it might meet another one there.
  add_attribute(&message, IFLA_NET_NS_FD, &target, sizeof target);
  add_attribute(&message, IFLA_IFNAME, inside, strlen(inside) + 1);
  int error = request(netlink, &message);
  if (error != 0) fail_with(error, "move network device", device);
  close(netlink);

  enter_network(target, device);
  netlink = open_netlink(device);
  index = find_newcomer(before, device);
  // Up first: IPv6 addresses given before are lost.
  set_up(netlink, index, true, inside);
  for (int one = 0; one < count; one++) give_address(netlink, index, inside, &kept[one]);
  close(netlink);
  enter_network(home, device);
}

static noreturn void move_all(const struct plan *plan, pid_t stage, int go) {
  char byte, path[64];
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) fail("open network namespace", "/proc/self/ns/net");
  // The stage failed and has said so.
  if (read(go, &byte, 1) != 1) _exit(1);
  snprintf(path, sizeof path, "/proc/%d/ns/net", stage);
  int target = open(path, O_RDONLY | O_CLOEXEC);
  if (target < 0) fail("open network namespace", path);
  struct cursor records = plan_records(plan);
  struct record record;
  while (next_record(&records, &record)) {
    if (record.tag != TAG_NETWORK_DEVICE) continue;
    const char *device = read_string(&record.body), *inside = read_string(&record.body);
    if (record.body.bad || strlen(device) >= MAX_LENGTH_NAME || strlen(inside) >= MAX_LENGTH_NAME)
      fail_with(EBADMSG, "read plan", "network device");
    move_device(device, inside, home, target);
  }
  _exit(0);
}

struct device_mover start_device_mover(const struct plan *plan) {
  struct device_mover mover = {-1, -1};
  struct record record;
  if (!find_record(plan, TAG_NETWORK_DEVICE, &record)) return mover;
  int go[2];
  pid_t stage = getpid();
  if (pipe2(go, O_CLOEXEC) < 0) fail("move network devices", "");
  mover.pid = fork();
  if (mover.pid < 0) fail("move network devices", "");
  if (mover.pid == 0) {
    close(go[1]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    move_all(plan, stage, go[0]);
  }
  close(go[0]);
  mover.go = go[1];
  return mover;
}

void finish_device_mover(const struct device_mover *mover) {
  if (mover->pid < 0) return;
  int status;
  if (write(mover->go, "", 1) != 1) fail("move network devices", "");
  while (waitpid(mover->pid, &status, 0) < 0)
    if (errno != EINTR) fail("move network devices", "");
  // It has told the launcher why.
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) _exit(1);
  close(mover->go);
}

void raise_loopback(void) {
  struct ifreq loopback = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  // A kernel without IPv4, or a caller without CAP_NET_ADMIN: then it stays down, as the container has nothing to reach by it.
  if (fd < 0) return;
  if (ioctl(fd, SIOCGIFFLAGS, &loopback) == 0) {
    loopback.ifr_flags |= IFF_UP;
    ioctl(fd, SIOCSIFFLAGS, &loopback);
  }
  close(fd);
}
