// The connections on the shim's socket.
#pragma once

#include <poll.h>

#include "protocol.h"
#include "shim.h"

enum { MAX_CLIENTS = 16, CLIENT_POLLS = MAX_CLIENTS + 1 };

void clients_start(struct serving *serving);
void clients_accept(void);

// Output goes to all attached; a client that is behind is cut off, or marked as stalling when it is lossless.
void clients_output(uint16_t frame, const char *data, size_t length);
void clients_exit(const struct exit_facts *facts, bool to_attached);
void clients_process_gone(void);

bool clients_stall(void);
// True when a stalling client took something since the last call.
bool clients_progress(void);
void clients_drop_stalled(void);
bool clients_pending(void);
void clients_flush(void);

int clients_poll(struct pollfd *polls);
void clients_handle(struct pollfd *polls, int count);
int clients_poll_output(struct pollfd *polls);
void clients_handle_output(struct pollfd *polls, int count);
