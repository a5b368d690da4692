#include "system/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Numbers below the limit of select(), and low enough that the kernel's table stays small. */
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

/* Returns 0 if the existing file may be written to, or the errno that says why not. */
static int objection(const struct stat *status) {
    if (S_ISCHR(status->st_mode)) {
        return 0;
    }
    if (!S_ISREG(status->st_mode)) {
        return S_ISDIR(status->st_mode) ? EISDIR : S_ISLNK(status->st_mode) ? ELOOP : ENOTSUP;
    }
    return status->st_uid != geteuid() ? EPERM : status->st_nlink != 1 ? EMLINK : 0;
}

/* Returns true for a path in /dev (except /dev/shm), /proc or /sys. A file that does not exist there is a mistyped name
 * of a device: nobody wants a new file there. */
static bool is_among_devices(const char *path) {
    static const char *const folders[] = {"/dev/", "/proc/", "/sys/"};
    static const char memory[] = "/dev/shm/";
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (strncmp(path, folders[i], strlen(folders[i])) == 0) {
            return strncmp(path, memory, strlen(memory)) != 0;
        }
    }
    return false;
}

static bool take(struct descriptor *descriptor, const char *path, int flags, bool is_new) {
    if (is_new && is_among_devices(path)) {
        errno = ENODEV;
        return false;
    }
    /* O_NONBLOCK: a FIFO may have been put there since the check, and must not make us wait. 0600: messages name paths
     * and threads. */
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | flags, 0600);
    struct stat status;
    if (fd < 0) {
        return false;
    }
    /* A new file is not checked, because its owner may be another user: NFS maps root to nobody. */
    int error = fstat(fd, &status) != 0 ? errno : is_new ? 0 : objection(&status);
    if (error) {
        close(fd);
        errno = error;
        return false;
    }
    *descriptor = (struct descriptor){move_up(fd), status.st_dev, status.st_ino};
    return true;
}

/* Checks the file before opening it, because opening alone has an effect on a FIFO's reader or on a tape. */
static bool take_existing(struct descriptor *descriptor, const char *path, int flags) {
    struct stat status;
    int error = lstat(path, &status) != 0 ? errno : objection(&status);
    if (error) {
        errno = error;
        return false;
    }
    return take(descriptor, path, flags, false);
}

bool descriptor_append(struct descriptor *descriptor, const char *path) {
    for (int tries = 0; tries < 3; tries++) {
        if (take_existing(descriptor, path, O_APPEND)) {
            return true;
        }
        if (errno != ENOENT) {
            return false;
        }
        if (take(descriptor, path, O_APPEND | O_CREAT | O_EXCL, true)) {
            return true;
        }
        if (errno != EEXIST) { /* EEXIST: somebody has created it in between */
            return false;
        }
    }
    return false;
}

bool descriptor_create(struct descriptor *descriptor, const char *path) {
    struct stat status;
    if (lstat(path, &status) == 0 && (S_ISCHR(status.st_mode) || S_ISDIR(status.st_mode))) {
        return take_existing(descriptor, path, 0);
    }
    return take(descriptor, path, O_CREAT | O_EXCL, true);
}

void descriptor_add_reason(struct text *text, int error) {
    static const struct {
        int error;
        const char *words;
    } reasons[] = {
        {ENOENT, "there is no such folder"},
        {ENOTDIR, "what should be its folder is none"},
        {EACCES, "permission denied"},
        {EISDIR, "it is a folder"},
        {ELOOP, "it is a symbolic link"},
        {ENOTSUP, "it is not an ordinary file"},
        {ENODEV, "there is no such device"},
        {EPERM, "it belongs to another user"},
        {EMLINK, "it has a second name (a hard link)"},
        {EEXIST, "there are too many files of that name"},
        {EROFS, "the file system is read-only"},
        {ENOSPC, "no space is left"},
        {EDQUOT, "the quota is used up"},
        {EFBIG, "the limit of a file's size is reached"},
        {EMFILE, "the process has no descriptor left"},
        {EPIPE, "its reader has gone"},
        {ENAMETOOLONG, "the name is too long"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].error == error) {
            text_add(text, reasons[i].words);
            return;
        }
    }
    text_add(text, "errno ");
    text_add_decimal(text, (uint64_t)error);
}

bool descriptor_is_ours(const struct descriptor *descriptor) {
    struct stat status;
    return descriptor->fd >= 0 && fstat(descriptor->fd, &status) == 0 && status.st_dev == descriptor->device &&
           status.st_ino == descriptor->inode;
}

bool descriptor_open_again(struct descriptor *descriptor, const char *path) {
    struct descriptor again;
    if (!take_existing(&again, path, 0)) {
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
