/* The target's threads and memory, as system/thread.h has them. */
#include "inspect/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inspect/target.h"
#include "system/thread.h"

enum { THREADS_MAX = 65536 };

/* ---- files in /proc ---------------------------------------------------------------------------------------------- */

const char *thread_folder(void) {
    static char folder[48];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/proc/%d/task", (int)target_pid());
    }
    return folder;
}

static FILE *open_lines(pid_t tid, const char *name) {
    char path[96];
    snprintf(path, sizeof path, "%s/%d/%s", thread_folder(), (int)tid, name);
    return fopen(path, "re");
}

uint64_t thread_cpu_time(pid_t tid) {
    char line[128];
    FILE *file = open_lines(tid, "schedstat");
    uint64_t time = file && fgets(line, sizeof line, file) ? strtoull(line, NULL, 10) : 0;
    if (file) {
        fclose(file);
    }
    return time;
}

/* Reads "se.exec_start : 12345.678901" (ms): when the thread was last put on or taken off a processor. */
static uint64_t exec_start(FILE *file) {
    char line[256];
    uint64_t found = 0;
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (colon && strncmp(line, "se.exec_start", strlen("se.exec_start")) == 0) {
            char *point;
            found = strtoull(colon + 1, &point, 10) * 1000000u;
            found += *point == '.' ? strtoull(point + 1, NULL, 10) : 0; /* six digits */
        }
    }
    if (file) {
        fclose(file);
    }
    return found;
}

uint64_t threads_still_for(pid_t tid) {
    uint64_t then = exec_start(open_lines(tid, "sched"));
    uint64_t now = exec_start(fopen("/proc/thread-self/sched", "re")); /* this thread runs: the present */
    return then && now > then ? now - then : 0;
}

uintptr_t threads_start_of_stack(void) {
    char line[1024];
    FILE *file = open_lines(target_pid(), "stat");
    const char *at = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    if (file) {
        fclose(file);
    }
    for (int field = 2; at && field < 28; field++) { /* see proc(5): startstack is the 28th */
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

/* The list of robust mutexes is in the descriptor, and the kernel tells where it is. */
uintptr_t threads_descriptor(pid_t tid) {
    void *list = NULL;
    size_t size = 0;
    return syscall(SYS_get_robust_list, tid, &list, &size) == 0 ? (uintptr_t)list : 0;
}

/* ---- numbers of threads ------------------------------------------------------------------------------------------ */

bool thread_exists(pid_t tid) {
    char path[96];
    snprintf(path, sizeof path, "%s/%d", thread_folder(), (int)tid);
    return tid > 0 && access(path, F_OK) == 0;
}

/* Returns what the thread calls itself: the last number of the line NSpid, which has one for each namespace. */
static pid_t own_id(pid_t tid) {
    char line[512];
    pid_t id = tid;
    FILE *file = open_lines(tid, "status");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "NSpid:", 6) == 0) {
            const char *last = strrchr(line, '\t');
            id = last ? (pid_t)strtol(last, NULL, 10) : tid;
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return id;
}

static struct {
    bool is_learnt;
    bool is_same; /* it has our numbers */
    size_t count;
    pid_t *tids, *own_ids;
} numbers;

static void learn_numbers(void) {
    numbers.is_learnt = true;
    numbers.is_same = own_id(target_pid()) == target_pid();
    if (numbers.is_same) {
        return;
    }
    numbers.tids = calloc(THREADS_MAX, sizeof *numbers.tids);
    numbers.own_ids = calloc(THREADS_MAX, sizeof *numbers.own_ids);
    if (!numbers.tids || !numbers.own_ids) {
        return;
    }
    size_t found = target_threads(numbers.tids, THREADS_MAX);
    numbers.count = found < THREADS_MAX ? found : THREADS_MAX;
    for (size_t i = 0; i < numbers.count; i++) {
        numbers.own_ids[i] = own_id(numbers.tids[i]);
    }
}

pid_t target_thread_of(pid_t id) {
    if (!numbers.is_learnt) {
        learn_numbers();
    }
    if (numbers.is_same) {
        return thread_exists(id) ? id : 0;
    }
    for (size_t i = 0; i < numbers.count; i++) {
        if (numbers.own_ids[i] == id) {
            return numbers.tids[i];
        }
    }
    return 0;
}

pid_t thread_with_own_id(pid_t id) {
    return target_thread_of(id);
}

/* Found in the main thread's descriptor, in which the list of robust mutexes follows soon after. */
size_t thread_place_of_tid(void) {
    static size_t place;
    static bool was_sought;
    uintptr_t list = was_sought ? 0 : threads_descriptor(target_pid());
    was_sought = true;
#if defined(__x86_64__)
    /* the descriptor begins with its own address, which is its third word, too (tcbhead_t) */
    uintptr_t at = list & ~(uintptr_t)(THREAD_DESCRIPTOR_ALIGNMENT - 1);
    for (int i = 0; list && !place && i < THREAD_DESCRIPTOR_BYTES / THREAD_DESCRIPTOR_ALIGNMENT;
         i++, at -= THREAD_DESCRIPTOR_ALIGNMENT) {
        uintptr_t head[3];
        if (!target_read(at, head, sizeof head) || head[0] != at || head[2] != at) {
            continue;
        }
        for (size_t offset = list - at; offset >= sizeof(pid_t) && !place; offset -= sizeof(pid_t)) {
            pid_t id;
            bool is_tid = target_read(at + offset, &id, sizeof id) && target_thread_of(id) == target_pid();
            place = is_tid ? offset : 0;
        }
    }
#else
    /* the same glibc, most likely: as far from the list as in our own */
    void *own = NULL;
    size_t size;
    pid_t id, tid = (pid_t)syscall(SYS_gettid);
    if (list && syscall(SYS_get_robust_list, 0, &own, &size) == 0) {
        for (const char *at = own; at > (const char *)pthread_self() && !place; at -= sizeof id) {
            memcpy(&id, at, sizeof id);
            place = id == tid ? (size_t)(at - (const char *)pthread_self()) : 0;
        }
    }
#endif
    return place;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

bool thread_read_memory(const void *from, void *to, size_t size) {
    return target_read((uintptr_t)from, to, size);
}

bool thread_read_string(const char *from, char *to, size_t capacity) {
    return target_read_string((uintptr_t)from, to, capacity);
}
