/* A file of ours in a process that may close descriptors which it has not opened (daemons do), and get their numbers again for
 * files of its own: which must not be written to. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

struct descriptor {
    int fd; /* -1: not open */
    dev_t device;
    ino_t inode;
};

/* Opens the file, close-on-exec, and where there is room under a number that is out of the way: programs expect the lowest free
 * ones for their own. False: errno says why. Async-signal-safe, as all here. */
bool descriptor_open(struct descriptor *descriptor, const char *path, int flags);

/* Whether its number still stands for that file. */
bool descriptor_is_ours(const struct descriptor *descriptor);

/* Opens the file again, if it is still the same one, after somebody has closed it. False: it can't be had. */
bool descriptor_open_again(struct descriptor *descriptor, const char *path, int flags);

/* Closes it, unless somebody else has the number by now. */
void descriptor_close(struct descriptor *descriptor);
