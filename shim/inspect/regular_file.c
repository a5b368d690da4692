#include "inspect/regular_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Without openat2(2) (Linux before 5.6, sandboxes) the superuser does without the file, because the owner of the root would
 * decide which of our files is opened. */
static int find_in(int root, const char *path) {
    enum { OPENAT2 = 437 /* on every architecture; older headers lack it */, NO_MAGIC_LINKS = 0x02, IN_ROOT = 0x10 };
    const struct { uint64_t flags, mode, resolve; } how = {O_PATH | O_CLOEXEC, 0, NO_MAGIC_LINKS | IN_ROOT};
    int fd = (int)syscall(OPENAT2, root, path, &how, sizeof how);
    for (int i = 0; fd < 0 && errno == EAGAIN && i < 100; i++) { /* something was renamed meanwhile */
        fd = (int)syscall(OPENAT2, root, path, &how, sizeof how);
    }
    if (fd < 0 && (errno == ENOSYS || errno == EPERM) && geteuid() != 0) {
        fd = openat(root, path + strspn(path, "/"), O_PATH | O_CLOEXEC);
    }
    return fd;
}

/* Files of the kernel's that are made as they are read are empty, too. */
int regular_file_open(int found) {
    char path[32];
    struct stat status;
    bool is_regular = found >= 0 && fstat(found, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", found);
    int fd = is_regular ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    if (found >= 0) {
        close(found);
    }
    return fd;
}

int regular_file_open_in(int root, const char *path) {
    int fd = root >= 0 ? regular_file_open(find_in(root, path)) : -1;
    if (root >= 0) {
        close(root);
    }
    return fd;
}
