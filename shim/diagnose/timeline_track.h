/* From the events of one thread to the spans of its track. Knows nothing of rings and threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "journal/journal.h"

struct timeline_track {
    pid_t tid;
    uint64_t started;     /* of the thread, in ticks: another thread with the same record has another */
    uint64_t last_number; /* of its events that have been read */
    uint64_t last_time;   /* ns: nothing on the track begins before */
    bool has_ended;
    char name[32];
    unsigned named_in; /* the file that has the name already, counted from 1; 0: none */
    bool holds;
    uint64_t hold_since;
    uint64_t state_since;
    const void *state;
    const void *hold_caller;
    const void *state_caller;
    const void *foretold_caller; /* the last event said that this caller's call would not come to an end */
    uint16_t hold_call;
    uint16_t state_call;
};

/* Sets the name of the track. It is written in front of the track's next event, if the file does not have it. */
void timeline_track_name(struct timeline_track *track, const struct journal_thread *thread);

/* Writes what an event ends. */
void timeline_track_event(struct timeline_track *track, const struct journal_event *event);

/* Events were lost: how many, between the last one and `time` (ns), a span of its own. What was open is not known any more. */
void timeline_track_dropped(struct timeline_track *track, uint64_t count, uint64_t time);

/* Writes that the thread waits for the GIL as the process ends, at `time` (ns): for itself, if it holds it. */
void timeline_track_waits(struct timeline_track *track, const struct journal_now *now, uint64_t time);

/* Writes what is open as if it ended at `time` (ns). */
void timeline_track_end(struct timeline_track *track, uint64_t time);
