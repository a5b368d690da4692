/* The target's threads and memory, as system/thread.h has them. */
#include "inspect/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inspect/target.h"
#include "system/thread.h"

enum { THREADS_MAX = 65536 };

/* ---- files in /proc ---------------------------------------------------------------------------------------------- */

size_t thread_read_file(pid_t tid, const char *name, char *buffer, size_t capacity) {
    return target_source()->thread_file(tid, name, buffer, capacity);
}

uint64_t thread_cpu_time(pid_t tid) {
    char line[128];
    return thread_read_file(tid, "schedstat", line, sizeof line) ? strtoull(line, NULL, 10) : 0;
}

/* Reads "se.exec_start : 12345.678901" (ms): when the thread was last put on or taken off a processor. */
static uint64_t exec_start(const char *sched) {
    const char *line = strstr(sched, "\nse.exec_start"), *colon = line ? strchr(line, ':') : NULL;
    char *point;
    if (!colon) {
        return 0;
    }
    uint64_t milliseconds = strtoull(colon + 1, &point, 10);
    return milliseconds * 1000000u + (*point == '.' ? strtoull(point + 1, NULL, 10) : 0); /* six digits */
}

/* Returns a field of /proc/PID/stat (proc(5) numbers them), from the third on; 0: not told. */
static uint64_t stat_field(pid_t tid, int number) {
    char line[1024];
    const char *at = thread_read_file(tid, "stat", line, sizeof line) ? strrchr(line, ')') : NULL;
    for (int field = 2; at && field < number; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

/* Returns this processor's clock, as exec_start has it; 0: not known, or not to be had there. Each processor has its own, which stands
 * still while the hypervisor or an interrupt has the processor. So the calling thread, which runs there, looks at its own. */
static uint64_t clock_of_processor(size_t number) {
    cpu_set_t before, only;
    char text[4096];
    uint64_t now = 0;
    CPU_ZERO(&only);
    if (number >= CPU_SETSIZE || sched_getaffinity(0, sizeof before, &before) != 0) {
        return 0;
    }
    CPU_SET(number, &only);
    FILE *file = sched_setaffinity(0, sizeof only, &only) == 0 ? fopen("/proc/thread-self/sched", "re") : NULL;
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        now = exec_start(text);
        fclose(file);
    }
    sched_setaffinity(0, sizeof before, &before);
    return now;
}

uint64_t threads_still_for(pid_t tid) {
    enum { PROCESSOR = 39 };
    char text[4096];
    uint64_t then = thread_read_file(tid, "sched", text, sizeof text) ? exec_start(text) : 0;
    uint64_t now = then ? clock_of_processor(stat_field(tid, PROCESSOR)) : 0;
    return now > then ? now - then : 0;
}

uintptr_t threads_start_of_stack(void) {
    enum { START_OF_STACK = 28 };
    return stat_field(target_pid(), START_OF_STACK);
}

uintptr_t threads_descriptor(pid_t tid) {
    return target_source()->descriptor(tid);
}

/* ---- numbers of threads ------------------------------------------------------------------------------------------ */

bool thread_exists(pid_t tid) {
    char name[16];
    return tid > 0 && thread_read_file(tid, "comm", name, sizeof name);
}

/* Returns what the thread calls itself: the last number of the line NSpid, which has one for each namespace. */
static pid_t own_id(pid_t tid) {
    char text[4096];
    char *line = thread_read_file(tid, "status", text, sizeof text) ? strstr(text, "\nNSpid:") : NULL;
    if (!line) {
        return tid;
    }
    line[1 + strcspn(line + 1, "\n")] = '\0';
    const char *last = strrchr(line, '\t');
    return last ? (pid_t)strtol(last, NULL, 10) : tid;
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
