/* Damaged objects in a whole process: loads each in a child, calls into it, and prints what came of it.

   load FIRST COUNT OBJECT...   for the seeds from FIRST on: "SEED OBJECT: not loaded", "...: answers 1", "...: given up", "...: signal 11"

   tests/fuzz/run runs it without the shim and with it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mutate.h"

enum { LOADED = 0, NOT_LOADED = 100, GIVEN_UP = 127 /* by ld.so, with a message */ };

static int call(void *handle, const char *name) {
    int (*function)(void) = (int (*)(void))dlsym(handle, name);
    return function ? function() & 3 : 0;
}

/* The same questions with the shim and without; the status is the answer. */
static int try_object(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return NOT_LOADED;
    /* Somebody asks for Python, so that the shim looks at all there is. */
    dlsym(handle, "PyGILState_Check");
    dlsym(RTLD_DEFAULT, "PyGILState_Ensure");
    int status = LOADED + call(handle, "lib_answer") + 4 * call(handle, "lib_other") +
                 16 * (dlsym(handle, "PyEval_SaveThread") != NULL);
    dlclose(handle);
    dlsym(RTLD_DEFAULT, "PyGILState_Ensure");
    return status;
}

int main(int argc, char **argv) {
    static struct mutate_object objects[64];
    int count = argc - 3 < 64 ? argc - 3 : 64;
    if (count < 1)
        return 2;
    for (int i = 0; i < count; i++) {
        int fd = open(argv[3 + i], O_RDONLY);
        struct stat status;
        if (fd < 0 || fstat(fd, &status) != 0)
            return 2;
        mutate_open(&objects[i], mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0),
                    (size_t)status.st_size);
    }
    uint64_t first = strtoull(argv[1], NULL, 10);
    uint64_t end = first + strtoull(argv[2], NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint64_t seed = first; seed < end; seed++) {
        const struct mutate_object *object = &objects[seed % (unsigned)count];
        uint8_t *bytes = malloc(object->size);
        char path[40];
        int fd = memfd_create("damaged", 0);
        mutate(object, bytes, seed);
        if (fd < 0 || write(fd, bytes, object->size) != (ssize_t)object->size)
            return 2;
        free(bytes);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            _exit(try_object(path));
        }
        int status = 0;
        waitpid(child, &status, 0);
        close(fd);
        printf("%llu %s: ", (unsigned long long)seed, strrchr(argv[3 + seed % (unsigned)count], '/') + 1);
        if (WIFSIGNALED(status))
            printf("signal %d\n", WTERMSIG(status));
        else if (WEXITSTATUS(status) == NOT_LOADED)
            printf("not loaded\n");
        else if (WEXITSTATUS(status) == GIVEN_UP)
            printf("given up\n");
        else
            printf("answers %d\n", WEXITSTATUS(status));
    }
    return 0;
}
