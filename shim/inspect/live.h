/* A process that is running: read by process_vm_readv(2) and through /proc/PID. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Makes the process the target. `pid` may be the id of any of its threads. Returns false if it can't be looked at, and
 * writes one line into `reason` that says why, and what would help. */
bool live_open(pid_t pid, char *reason, size_t capacity);

/* Returns true, with the reason as one line, if the process has ended or executed another program since it was opened. What
 * was read of it then belongs to several programs. */
bool live_has_ended(char *reason, size_t capacity);

/* Returns true if the process is frozen by its control group (docker pause, systemctl freeze). False if that can't be told: /sys
 * may be another container's. */
bool live_is_frozen(void);
