/* Writing bytes to a descriptor in somebody else's process: by no write of ours is the host ended, stopped or signalled, nor
 * held up for longer than a second by a reader that does not read.
 *
 * Nothing here allocates or takes a lock, and errno is left as it was, if not said otherwise. All async-signal-safe. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Around a write: the signals that the kernel sends for one to the writing thread are held off, and those that came of it
 * are taken away: SIGPIPE (the reader has gone), SIGXFSZ (RLIMIT_FSIZE is reached) and SIGTTOU (a terminal with `stty
 * tostop`, which stops a background process). One that was pending already stays so. */
struct output_guard {
    sigset_t before;
    sigset_t taken; /* which are to be taken away: those that were not pending */
};
void output_guard_begin(struct output_guard *guard);
void output_guard_end(const struct output_guard *guard);

/* How long a destination may still make the host wait, in milliseconds: used up by waiting, and full again when it takes
 * something at once. So a reader that is stuck costs a second in all, not one for each line. */
struct output_patience {
    int used_ms;
};

/* Writes all of it, in pieces that a pipe takes as one. Returns how many bytes went out: fewer than `size` if the reader has
 * gone or does not read, the disk is full or a limit is reached. */
size_t output_write(int fd, const char *bytes, size_t size, struct output_patience *patience);

/* As that, at `offset` of a file; where it falls short, errno says why. */
size_t output_write_at(int fd, const char *bytes, size_t size, off_t offset);
