#include "timeline.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "background.h"
#include "ending.h"
#include "journal.h"
#include "list.h"
#include "options.h"
#include "report.h"
#include "text.h"
#include "ticks.h"
#include "timeline_file.h"
#include "timeline_track.h"

bool timeline_is_due;

enum { TRACKS_MAX = 16384, MILLISECOND = 1000000, LONGEST_PAUSE = 50 * MILLISECOND, SHORTEST_PAUSE = MILLISECOND };

static struct timeline_track *tracks; /* one for each record of the journal */
static struct journal_event *events;  /* room for those of one thread */
static bool is_finished;

/* Who drains: the thread's tid. Both may: the writer, and a thread that ends the process. */
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
            return false; /* in the midst of it: a crash or a signal there */
        }
        background_sleep(MILLISECOND / 10);
    }
}

static void give_turn(void) {
    __atomic_store_n(&drainer, 0, __ATOMIC_RELEASE);
}

/* ---- draining --------------------------------------------------------------------------------------------------- */

/* Another thread has the record now. */
static void begin_track(struct timeline_track *track, const struct journal_thread *thread) {
    timeline_track_end(track, ticks_to_ns(thread->started));
    memset(track, 0, sizeof *track);
    track->tid = thread->tid;
    track->started = thread->started;
    track->last_time = ticks_to_ns(thread->started);
}

/* Returns which part of the ring was filled since the last look, in hundredths. */
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
        unsigned torn;
        unsigned count =
            journal_read_events(index, events, fresh < TIMELINE_EVENTS ? (unsigned)fresh : TIMELINE_EVENTS, &torn);
        for (unsigned i = 0; i < count; i++) {
            if (events[i].number <= track->last_number) {
                continue;
            }
            if (events[i].number != track->last_number + 1) {
                timeline_track_dropped(track, events[i].number - track->last_number - 1, ticks_to_ns(events[i].time));
            }
            timeline_track_event(track, &events[i]);
            track->last_number = events[i].number;
        }
    }
    if (thread.has_ended) {
        timeline_track_end(track, ticks_to_ns(thread.ended));
        track->has_ended = true;
    }
    return thread.kept ? (unsigned)((fresh < thread.kept ? fresh : thread.kept) * 100 / thread.kept) : 0;
}

/* The fullest of the rings, in hundredths. */
static unsigned drain(void) {
    unsigned fullest = 0;
    unsigned count = journal_count();
    for (unsigned i = 0; i < count && i < TRACKS_MAX; i++) {
        unsigned filled = drain_thread(i, &tracks[i]);
        fullest = filled > fullest ? filled : fullest;
    }
    timeline_file_flush();
    return fullest;
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

static void write_all_the_time(void) {
    uint64_t pause = LONGEST_PAUSE;
    const char *reason = NULL;
    while (background_may_go_on(&reason) && take_turn(UINT64_MAX / 4)) {
        unsigned filled = is_finished || !timeline_file_is_open() ? 0 : drain();
        bool is_over = is_finished || !timeline_file_is_open();
        give_turn();
        if (is_over) {
            return;
        }
        pause = filled > 40 ? pause / 4 : filled < 10 ? pause * 2 : pause;
        pause = pause < SHORTEST_PAUSE ? SHORTEST_PAUSE : pause > LONGEST_PAUSE ? LONGEST_PAUSE : pause;
        background_sleep(pause);
    }
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
    bool may_start = background_may_start() || journal_own_events() >= TIMELINE_EVENTS / 2;
    if (may_start && __atomic_load_n(&file, __ATOMIC_ACQUIRE) == OPEN &&
        __atomic_exchange_n(&timeline_is_due, false, __ATOMIC_ACQ_REL) &&
        !background_start(write_all_the_time, "gilshim-trace")) {
        report_line("warning: no thread for the timeline: it is written when the process ends");
    }
    errno = saved_errno;
}

void timeline_finish(void) {
    int saved_errno = errno;
    if (timeline_file_is_open() && take_turn(1000 * (uint64_t)MILLISECOND)) {
        if (!is_finished) {
            is_finished = true;
            drain();
            uint64_t now = ticks_to_ns(ticks_now());
            for (unsigned i = 0; i < journal_count() && i < TRACKS_MAX; i++) {
                timeline_track_end(&tracks[i], now);
            }
            timeline_file_close();
        }
        give_turn();
    }
    errno = saved_errno;
}

/* The parent's file is the parent's. */
static void after_fork_in_child(void) {
    if (options.timeline[0]) {
        timeline_file_forget();
        if (tracks) {
            memset(tracks, 0, TRACKS_MAX * sizeof *tracks);
        }
        drainer = 0;
        is_finished = false;
        file = CLOSED;
        background_forked();
        timeline_is_due = true;
    }
}

void timeline_prepare(void) {
    if (options.timeline[0] && journal_is_on && pthread_atfork(NULL, NULL, after_fork_in_child) == 0) {
        ending_call(timeline_finish);
        timeline_is_due = true;
    }
}
