/* A file of ours in a process that may close descriptors that it has not opened (daemons do). The process may then get
 * the same number for a file of its own, which must not be written to.
 *
 * The file's name can be foreseen, and its folder may be writable by everybody. So an existing file is opened for
 * writing only if it is a character device, or if it can only be ours: an ordinary file of the effective user with no
 * second name. No file is ever truncated. A FIFO is never opened, because it would make the host wait for a reader. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "system/text.h"

struct descriptor {
    int fd; /* -1: not open */
    dev_t device;
    ino_t inode;
};

/* Opens the file, close-on-exec. The descriptor gets a high number if there is room, because programs expect the lowest
 * free numbers for their own files. descriptor_append creates the file, or appends to it. descriptor_create only
 * creates it: it fails with EEXIST if anything exists there except a device, which it opens, or a folder (EISDIR).
 * Returns false and sets errno on failure. All functions here are async-signal-safe. */
bool descriptor_append(struct descriptor *descriptor, const char *path);
bool descriptor_create(struct descriptor *descriptor, const char *path);

/* Adds the reason for a failure in words. `error` is the errno that one of the functions here has set. */
void descriptor_add_reason(struct text *text, int error);

/* Returns true if the number still refers to that file. */
bool descriptor_is_ours(const struct descriptor *descriptor);

/* Opens the file again for writing after somebody has closed it. Returns false and sets errno if it can't be opened, or
 * if there is another file of that name by now (ESTALE). */
bool descriptor_open_again(struct descriptor *descriptor, const char *path);

/* Closes the descriptor, unless its number belongs to somebody else by now. Sets `fd` to -1. */
void descriptor_close(struct descriptor *descriptor);
