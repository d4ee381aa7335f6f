// What attached clients send to the process: one buffer for all, since the process has one stdin. While it is not empty, no
// client's further bytes are taken from its socket.
#pragma once

#include "shim.h"

void input_start(int fd, bool terminal);
// Bytes wait for the process.
bool input_waits(void);
// Where to put the next bytes while none wait; `length` comes down to what there is room for.
char *input_room(size_t *length);
void input_give(size_t length);
// To be polled for POLLOUT while bytes wait; -1: none do.
int input_poll_fd(void);
void input_pour(void);
// The end of the input, behind the bytes that wait. A terminal has none: a typed Ctrl-D is one for it.
void input_end(void);
void input_gone(void);
