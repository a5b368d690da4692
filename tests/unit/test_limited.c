/* The limit of gilshim-inspect. */
#include "inspect/limited.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

enum { FAILED = 125 };

/* What a run wrote to standard output and error, one after the other. */
static char written[256];

static int run_with(uint64_t limit, size_t memory, int (*work)(void *)) {
    int ends[2], out = dup(STDOUT_FILENO), error = dup(STDERR_FILENO);
    fflush(NULL);
    CHECK(pipe(ends) == 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    int result = limited_run(limit, memory, work, NULL, FAILED);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    memset(written, 0, sizeof written);
    CHECK(read(ends[0], written, sizeof written - 1) >= 0);
    close(ends[0]);
    close(ends[1]);
    close(out);
    close(error);
    return result;
}

static int run_in_pipe(uint64_t limit, int (*work)(void *)) {
    return run_with(limit, (size_t)2 << 30, work);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int work_well(void *argument) {
    (void)argument;
    return write(STDOUT_FILENO, "words\n", 6) == 6 ? 3 : 4;
}

/* Until its child ends, it sleeps in a way that only SIGKILL ends, as with a file server that does not answer. */
static int hang_in_kernel(void *argument) {
    (void)argument;
    ssize_t unused = write(STDOUT_FILENO, "some\n", 5);
    (void)unused;
    pid_t child = vfork(); // NOLINT
    if (child == 0) {
        struct timespec pause = {5, 0};
        nanosleep(&pause, NULL);
        _exit(0);
    }
    return 0;
}

static int fault(void *argument) {
    (void)argument;
    raise(SIGBUS);
    return 0;
}

static int end(void *argument) {
    (void)argument;
    raise(SIGKILL);
    return 0;
}

static void status_and_output_are_the_works(void) {
    CHECK(run_in_pipe(10000000000u, work_well) == 3);
    CHECK(strcmp(written, "words\n") == 0);
}

static void work_that_no_handler_can_interrupt_is_given_up(void) {
    double begun = seconds();
    CHECK(run_in_pipe(200000000u, hang_in_kernel) == FAILED);
    CHECK(seconds() - begun < 3);
    CHECK(strcmp(written, "some\ngilshim-inspect: gave up: it takes too long to read this process\n") == 0);
}

static void a_fault_is_one_line(void) {
    CHECK(run_in_pipe(10000000000u, fault) == FAILED);
    CHECK(strncmp(written, "gilshim-inspect: gave up: what was read ", 40) == 0);
    CHECK(run_in_pipe(10000000000u, end) == FAILED);
    CHECK(strcmp(written,
                 "gilshim-inspect: gave up: the part that reads this process was killed by a signal: Killed\n") == 0);
}

/* Reads what is nowhere in a file in memory. */
static int fill_holes(void *argument) {
    enum { PAGE = 4096 };
    const size_t size = (size_t)16 << 30;
    int file = memfd_create("holes", 0);
    (void)argument;
    if (ftruncate(file, (off_t)size) != 0) {
        return 1;
    }
    const volatile char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    for (size_t at = 0; bytes != MAP_FAILED && at < size && !bytes[at]; at += PAGE) {
        if (at % (PAGE * 1024) == 0) {
            usleep(1000); /* the machine may be busy */
        }
    }
    return 0;
}

static void memory_is_limited(void) {
    CHECK(run_with(60000000000u, (size_t)256 << 20, fill_holes) == FAILED);
    CHECK(strcmp(written, "gilshim-inspect: gave up: it takes too much memory to read this process\n") == 0);
}

static int sleep_long(void *argument) {
    (void)argument;
    pid_t self = getpid();
    ssize_t unused = write(STDOUT_FILENO, &self, sizeof self);
    (void)unused;
    sleep(60);
    return 0;
}

static void the_work_ends_with_us(void) {
    int ends[2];
    pid_t work = 0;
    CHECK(pipe(ends) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        dup2(ends[1], STDOUT_FILENO);
        _exit(limited_run(60000000000u, (size_t)2 << 30, sleep_long, NULL, FAILED));
    }
    CHECK(read(ends[0], &work, sizeof work) == sizeof work && work > 1);
    kill(parent, SIGTERM);
    waitpid(parent, NULL, 0);
    bool is_gone = false;
    for (int i = 0; i < 500 && !is_gone; i++) {
        char path[64], line[256] = "";
        struct timespec pause = {0, 10000000};
        nanosleep(&pause, NULL);
        snprintf(path, sizeof path, "/proc/%d/stat", (int)work);
        FILE *file = fopen(path, "r");
        const char *read = file ? fgets(line, sizeof line, file) : NULL;
        is_gone = !read || strstr(line, ") Z") || strstr(line, ") X");
        if (file) {
            fclose(file);
        }
    }
    CHECK(is_gone);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    RUN(status_and_output_are_the_works);
    RUN(work_that_no_handler_can_interrupt_is_given_up);
    RUN(a_fault_is_one_line);
    RUN(memory_is_limited);
    RUN(the_work_ends_with_us);
    return test_end();
}
