#pragma once

int inspect_process(void);
int call_by_name(char **arguments);
int answer_for_filter(const char *path, long value);
int take_terminal(const char *path);
int kill_by_pidfd(const char *path);
