// The connections on the shim's socket.
#pragma once

#include <poll.h>

#include "protocol.h"
#include "shim.h"

enum { MAX_CLIENTS = 16, CLIENT_POLLS = MAX_CLIENTS + 1 };

void clients_start(struct serving *serving);
void clients_accept(void);

// Output goes to all attached. Not to be called while one of them is stalled.
void clients_output(uint16_t frame, const char *data, size_t length);
void clients_exit(const struct exit_facts *facts, bool to_attached);
void clients_process_gone(void);

// 0, or the time at which the client that has been behind for the longest is to be cut off; until then no output may be read.
int64_t clients_stalled_until(int64_t now);
bool clients_pending(void);
void clients_flush(void);

int clients_poll(struct pollfd *polls);
void clients_handle(struct pollfd *polls, int count);
int clients_poll_output(struct pollfd *polls);
void clients_handle_output(struct pollfd *polls, int count);
