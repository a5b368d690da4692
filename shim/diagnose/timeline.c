#include "diagnose/timeline.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpython/gil.h"
#include "cpython/real.h"
#include "diagnose/report.h"
#include "diagnose/timeline_file.h"
#include "diagnose/timeline_gils.h"
#include "diagnose/timeline_track.h"
#include "journal/journal.h"
#include "process/background.h"
#include "process/options.h"
#include "process/process_exit.h"
#include "system/list.h"
#include "system/text.h"
#include "system/ticks.h"

bool timeline_is_due;

enum { TRACKS_MAX = 16384, MILLISECOND = 1000000, LONGEST_PAUSE = 50 * MILLISECOND, SHORTEST_PAUSE = MILLISECOND };
enum { EVENTS_ALONE = 1024 }; /* a program with one thread gets the writer after so many */

static struct timeline_track *tracks; /* one for each record of the journal */
static struct journal_event *events;  /* room for the events of one thread */
static bool is_finished;
static bool is_writing;           /* the writer runs */
static uint64_t written, dropped; /* events */

/* The tid of the thread that drains; 0: none. The writer drains, and so does a thread that ends the process. */
static pid_t drainer;

static bool take_turn(uint64_t patience) {
    pid_t me = (pid_t)syscall(SYS_gettid);
    uint64_t end = ticks_monotonic() + patience;
    for (;;) {
        pid_t nobody = 0;
        if (__atomic_compare_exchange_n(&drainer, &nobody, me, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return true;
        }
        if (nobody == me || ticks_monotonic() >= end) {
            return false; /* this thread is draining, and a crash or a signal came in */
        }
        background_sleep(MILLISECOND / 10);
    }
}

static void give_turn(void) {
    __atomic_store_n(&drainer, 0, __ATOMIC_RELEASE);
}

/* ---- draining --------------------------------------------------------------------------------------------------- */

/* Called when another thread has the record now. */
static void begin_track(struct timeline_track *track, const struct journal_thread *thread) {
    timeline_track_end(track, ticks_to_ns(thread->started));
    memset(track, 0, sizeof *track);
    track->tid = thread->tid;
    __atomic_store_n(&track->started, thread->started, __ATOMIC_RELEASE);
    track->last_time = ticks_to_ns(thread->started);
}

/* Writes the new events of a thread. Returns how much of the ring they fill, in percent. */
static unsigned drain_thread(unsigned index, struct timeline_track *track) {
    struct journal_thread thread;
    if (!journal_read_thread(index, &thread)) {
        return 0;
    }
    if (track->started != thread.started) {
        begin_track(track, &thread);
    }
    if (track->has_ended) {
        return 0;
    }
    uint64_t fresh = thread.events - track->last_number;
    if (fresh) {
        timeline_track_name(track, &thread);
        unsigned count = journal_read_events_after(index, track->last_number, events, TIMELINE_EVENTS);
        for (unsigned i = 0; i < count; i++) {
            if (events[i].number != track->last_number + 1) {
                dropped += events[i].number - track->last_number - 1;
                timeline_track_dropped(track, events[i].number - track->last_number - 1, ticks_to_ns(events[i].time));
            }
            timeline_track_event(track, &events[i]);
            __atomic_store_n(&track->last_number, events[i].number, __ATOMIC_RELEASE);
            __atomic_store_n(&written, written + 1, __ATOMIC_RELAXED);
        }
    }
    if (thread.has_ended) {
        timeline_track_end(track, ticks_to_ns(thread.ended));
        track->has_ended = true;
    }
    return thread.kept ? (unsigned)((fresh < thread.kept ? fresh : thread.kept) * 100 / thread.kept) : 0;
}

/* Drains all rings. Returns how much of the fullest one was new, in percent. */
static unsigned drain(void) {
    unsigned fullest = 0;
    unsigned count = journal_count();
    timeline_gils_forget();
    for (unsigned i = 0; i < count && i < TRACKS_MAX; i++) {
        unsigned filled = drain_thread(i, &tracks[i]);
        fullest = filled > fullest ? filled : fullest;
    }
    timeline_file_flush();
    return fullest;
}

/* Writes what the thread is doing as the process ends. */
static void end_track(unsigned index, uint64_t now) {
    struct journal_thread thread;
    struct timeline_track *track = &tracks[index];
    bool is_same = journal_read_thread(index, &thread) && thread.started == track->started;
    if (is_same && !thread.has_ended && thread.now.phase == JOURNAL_WAITS) {
        timeline_track_name(track, &thread);
        timeline_track_waits(track, &thread.now, now);
    }
    timeline_track_end(track, now);
}

static bool has_room(void) {
    if (!tracks) {
        tracks = list_map_pages(TRACKS_MAX * sizeof *tracks);
    }
    if (!events) {
        events = list_map_pages(TIMELINE_EVENTS * sizeof *events);
    }
    return tracks && events;
}

static void write_until_told(const char **reason) {
    uint64_t pause = LONGEST_PAUSE;
    while (background_may_go_on(reason) && take_turn(UINT64_MAX / 4)) {
        unsigned filled = is_finished || !timeline_file_is_open() ? 0 : drain();
        bool is_over = is_finished || !timeline_file_is_open();
        give_turn();
        if (is_over) {
            return;
        }
        if (filled > 60) {
            pause = SHORTEST_PAUSE;
            continue;
        }
        pause = filled > 40 ? pause / 4 : filled < 10 ? pause * 2 : pause;
        pause = pause < SHORTEST_PAUSE ? SHORTEST_PAUSE : pause > LONGEST_PAUSE ? LONGEST_PAUSE : pause;
        background_sleep(pause);
    }
}

static void write_all_the_time(void) {
    const char *reason = NULL;
    __atomic_store_n(&is_writing, true, __ATOMIC_RELEASE);
    write_until_told(&reason);
    __atomic_store_n(&is_writing, false, __ATOMIC_RELEASE);
    if (reason) {
        char buffer[200];
        struct text text = text_start(buffer, sizeof buffer);
        text_add(&text, "warning: the timeline is not written until the process ends: ");
        text_add(&text, reason);
        report_line(text_end(&text));
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

enum { CLOSED, OPENING, OPEN };
static int file;

static void open_file(void) {
    int closed = CLOSED;
    if (!__atomic_compare_exchange_n(&file, &closed, OPENING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        return;
    }
    if (!has_room() || !timeline_file_open(options.timeline, (uint64_t)options.timeline_mb << 20)) {
        is_finished = true;
        timeline_is_due = false;
    }
    __atomic_store_n(&file, OPEN, __ATOMIC_RELEASE);
}

void timeline_start(void) {
    int saved_errno = errno;
    open_file();
    bool may_start = background_may_start() || journal_own_events() >= EVENTS_ALONE;
    if (may_start && __atomic_load_n(&file, __ATOMIC_ACQUIRE) == OPEN &&
        __atomic_exchange_n(&timeline_is_due, false, __ATOMIC_ACQ_REL) &&
        !background_start(write_all_the_time, "gilshim-trace")) {
        report_line("warning: no thread for the timeline: it is written when the process ends");
    }
    errno = saved_errno;
}

/* timeline_wait=1: called on a thread that has filled another quarter of its ring. No cancellation point. */
static void wait_for_writer(void) {
    int saved_errno = errno;
    struct journal_thread me;
    int index = journal_own_index();
    uint64_t end = ticks_monotonic() + 1000 * (uint64_t)MILLISECOND;
    if (__atomic_load_n(&timeline_is_due, __ATOMIC_RELAXED) && real_is_served()) {
        timeline_start();
    }
    while (index >= 0 && index < TRACKS_MAX && __atomic_load_n(&is_writing, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&drainer, __ATOMIC_RELAXED) != (pid_t)syscall(SYS_gettid) &&
           journal_read_thread((unsigned)index, &me) && ticks_monotonic() < end) {
        const struct timeline_track *track = &tracks[index];
        bool is_mine = __atomic_load_n(&track->started, __ATOMIC_ACQUIRE) == me.started;
        uint64_t read = is_mine ? __atomic_load_n(&track->last_number, __ATOMIC_ACQUIRE) : 0;
        if (me.events - read <= me.kept / 2) {
            break;
        }
        struct timespec pause = {0, MILLISECOND / 10};
        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    errno = saved_errno;
}

/* Warns of lost events. The file shows where they are missing. */
static void tell_dropped(void) {
    char buffer[200];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "warning: the timeline lacks ");
    text_add_decimal(&text, dropped);
    text_add(&text, " events of ");
    text_add_decimal(&text, written + dropped);
    text_add(&text, ", which came faster than it was written: \"dropped\" is where; timeline_wait=1 waits for them");
    report_line(text_end(&text));
}

/* Waits for the writer as long as it comes forward, ten seconds at most: on a busy machine it takes longer than one for what
 * the threads' rings have. */
static bool take_last_turn(void) {
    uint64_t before = UINT64_MAX;
    for (int seconds = 0; seconds < 10 && before != __atomic_load_n(&written, __ATOMIC_RELAXED); seconds++) {
        before = __atomic_load_n(&written, __ATOMIC_RELAXED);
        if (take_turn(1000 * (uint64_t)MILLISECOND)) {
            return true;
        }
    }
    report_line("warning: the timeline lacks its end: who was writing it did not come to an end");
    return false;
}

void timeline_finish(void) {
    int saved_errno = errno;
    if (timeline_file_is_open() && take_last_turn()) {
        if (!is_finished) {
            is_finished = true;
            drain();
            uint64_t now = ticks_to_ns(ticks_now());
            for (unsigned i = 0; i < journal_count() && i < TRACKS_MAX; i++) {
                end_track(i, now);
            }
            timeline_file_close();
            if (dropped) {
                tell_dropped();
            }
        }
        give_turn();
    }
    errno = saved_errno;
}

/* The child leaves the parent's file to the parent. */
static void after_fork_in_child(void) {
    if (options.timeline[0]) {
        timeline_file_forget();
        if (tracks) {
            memset(tracks, 0, TRACKS_MAX * sizeof *tracks);
        }
        drainer = 0;
        is_finished = is_writing = false;
        written = dropped = 0;
        file = CLOSED;
        background_forked();
        gil_forked();
        timeline_is_due = true;
    }
}

void timeline_prepare(void) {
    if (options.timeline[0] && journal_is_on && pthread_atfork(NULL, NULL, after_fork_in_child) == 0) {
        process_exit_call(timeline_finish);
        if (options.timeline_wait) {
            journal_filled_quarter = wait_for_writer;
        }
        timeline_is_due = true;
    }
}
