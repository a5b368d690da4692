/* A file of ours in a process that may close descriptors which it has not opened (daemons do), and get their numbers again for
 * files of its own: which must not be written to.
 *
 * Its name can be foretold, and the folder may be everybody's: nothing that is there already is opened for writing but what
 * can only be ours (an ordinary file of the effective user's with no second name) and a device, and nothing is ever cut off. A
 * FIFO, which would make the host wait for a reader, is not opened at all. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "system/text.h"

struct descriptor {
    int fd; /* -1: not open */
    dev_t device;
    ino_t inode;
};

/* Opens the file, close-on-exec, and where there is room under a number that is out of the way: programs expect the lowest free
 * ones for their own. descriptor_append makes it, or goes on behind what is in it; descriptor_create only makes it: EEXIST, if
 * there is anything but a device or a folder. False: errno says why. Async-signal-safe, as all here. */
bool descriptor_append(struct descriptor *descriptor, const char *path);
bool descriptor_create(struct descriptor *descriptor, const char *path);

/* Adds, in words, why the file could not be had: errno as these leave it. */
void descriptor_add_reason(struct text *text, int error);

/* Whether its number still stands for that file. */
bool descriptor_is_ours(const struct descriptor *descriptor);

/* Opens the file again for writing, if it is still the same one, after somebody has closed it. False: it can't be had. */
bool descriptor_open_again(struct descriptor *descriptor, const char *path);

/* Closes it, unless somebody else has the number by now. */
void descriptor_close(struct descriptor *descriptor);
