// The connections on the shim's socket.
#pragma once

#include <poll.h>

#include "protocol.h"
#include "shim.h"

enum {
  MAX_CLIENTS = 64,
  // The rest is for the service, which must reach the shim however many have attached.
  MAX_ATTACHED = 60,
  CLIENT_POLLS = MAX_CLIENTS + 1,
};

void clients_start(struct serving *serving);
void clients_accept(void);

// Output goes to all attached, straight from `data`: it stays in place as long as clients_owed says so, and no more is sent until
// then.
void clients_output(uint16_t frame, const char *data, size_t length);
bool clients_owed(void);
void clients_exit(const struct exit_facts *facts, bool to_attached);
// Tells those that watch how much of the log is lost.
void clients_log_lost(void);
void clients_process_gone(void);

// 0, or the time at which the client that has been behind for the longest is to be cut off; until then no output may be read.
int64_t clients_stalled_until(int64_t now);
bool clients_pending(void);
void clients_flush(void);

// Fills at most CLIENT_POLLS; the number is handed back to the handlers.
int clients_poll(struct pollfd *polls);
void clients_handle(struct pollfd *polls, int count);
int clients_poll_output(struct pollfd *polls);
void clients_handle_output(struct pollfd *polls, int count);
