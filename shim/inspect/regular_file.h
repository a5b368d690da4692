/* Opens files of which somebody else has told the name, or may have put something else in their place: a device or a pipe, which to
 * open could do something, or a link to one. */
#pragma once

/* Opens for reading what was only found yet (O_PATH), if it is a regular file and not empty. Closes `found`, which may be -1.
 * Returns -1 if it can't be opened. */
int regular_file_open(int found);

/* The same of a file by its path in the folder `root` (O_PATH), which may be somebody else's: an absolute symbolic link in it leads
 * back into that root, and links of /proc lead nowhere. Closes `root`, which may be -1. */
int regular_file_open_in(int root, const char *path);
