#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Below what select() takes, and few enough that the kernel's table stays small. */
enum { HIGHEST = 1024, ROOM = 64 };

static int move_up(int fd) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return fd;
    }
    int end = limit.rlim_cur < HIGHEST ? (int)limit.rlim_cur : HIGHEST;
    int moved = end > ROOM ? fcntl(fd, F_DUPFD_CLOEXEC, end - ROOM) : -1;
    if (moved < 0) {
        return fd;
    }
    close(fd);
    return moved;
}

bool descriptor_open(struct descriptor *descriptor, const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0644);
    struct stat status;
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &status) != 0) {
        close(fd);
        return false;
    }
    *descriptor = (struct descriptor){move_up(fd), status.st_dev, status.st_ino};
    return true;
}

bool descriptor_is_ours(const struct descriptor *descriptor) {
    struct stat status;
    return descriptor->fd >= 0 && fstat(descriptor->fd, &status) == 0 && status.st_dev == descriptor->device &&
           status.st_ino == descriptor->inode;
}

bool descriptor_open_again(struct descriptor *descriptor, const char *path, int flags) {
    struct descriptor again;
    if (!descriptor_open(&again, path, flags)) {
        return false;
    }
    if (again.device != descriptor->device || again.inode != descriptor->inode) {
        close(again.fd);
        errno = ESTALE;
        return false;
    }
    *descriptor = again;
    return true;
}

void descriptor_close(struct descriptor *descriptor) {
    if (descriptor_is_ours(descriptor)) {
        close(descriptor->fd);
    }
    descriptor->fd = -1;
}
