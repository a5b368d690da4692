/* Writes bytes to a descriptor in somebody else's process. No write of ours ends, stops or signals the host. A reader
 * that does not read holds the host up for no longer than a second.
 *
 * Nothing here allocates or takes a lock. errno is preserved unless stated otherwise. All functions are
 * async-signal-safe. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Goes around a write. It blocks the signals that the kernel sends to the writing thread for a write, and discards
 * those that the write has caused: SIGPIPE (the reader has gone), SIGXFSZ (RLIMIT_FSIZE is reached) and SIGTTOU (a
 * terminal with `stty tostop`, which stops a background process). A signal that was pending already stays pending. */
struct output_guard {
    sigset_t before;
    sigset_t taken; /* to be discarded: those that were not pending */
};
void output_guard_begin(struct output_guard *guard);
void output_guard_end(const struct output_guard *guard);

/* How long a destination has made the host wait, in milliseconds. The limit is one second. It counts from 0 again when
 * the destination takes something at once. So a stuck reader costs a second in all, not one for each line. */
struct output_patience {
    int used_ms;
};

/* Writes all bytes, in pieces that a pipe takes as one. Returns how many bytes were written: fewer than `size` if the
 * reader has gone or does not read, the disk is full, or a limit is reached. */
size_t output_write(int fd, const char *bytes, size_t size, struct output_patience *patience);

/* Like output_write, but at `offset` of a file, and without waiting. If it writes fewer than `size` bytes, errno says
 * why. */
size_t output_write_at(int fd, const char *bytes, size_t size, off_t offset);
