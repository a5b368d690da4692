/* Turns the events of one thread into the spans of its track. Knows nothing of rings and threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "journal/journal.h"

struct timeline_track {
    pid_t tid;
    uint64_t started;     /* start of the thread, in ticks: tells it from another thread with the same record */
    uint64_t last_number; /* number of its last event that was read */
    uint64_t last_time;   /* ns: nothing on the track begins before this */
    bool has_ended;
    char name[32];
    unsigned named_in; /* the file that has the name, counted from 1; 0: none */
    bool holds;
    uint64_t hold_since;
    uint64_t state_since;
    const void *state;
    const void *hold_caller;
    const void *state_caller;
    const void *foretold_caller; /* the last event foretold that the call of this caller would not return */
    int64_t gil;                 /* that it holds; see gil.h */
    uint16_t hold_call;
    uint16_t state_call;
};

/* Sets the name of the track. It is written before the next event of the track, if the file does not have it. */
void timeline_track_name(struct timeline_track *track, const struct journal_thread *thread);

/* Writes the spans that an event ends. */
void timeline_track_event(struct timeline_track *track, const struct journal_event *event);

/* Writes that `count` events were lost, as a span between the last event and `time` (ns). Ends what was open, because
 * its state is no longer known. */
void timeline_track_dropped(struct timeline_track *track, uint64_t count, uint64_t time);

/* Writes that the thread waits for the GIL as the process ends, at `time` (ns); it waits for itself if it holds the
 * GIL. */
void timeline_track_waits(struct timeline_track *track, const struct journal_now *now, uint64_t time);

/* Writes what is open, as if it ended at `time` (ns). */
void timeline_track_end(struct timeline_track *track, uint64_t time);
