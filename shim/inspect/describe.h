/* What is said beside the stall report: text, or JSON objects. */
#pragma once

#include <stdbool.h>

#include "diagnose/wait_graph.h"
#include "inspect/watch.h"

/* After a stall report of the GIL that choice_make has chosen: which CPython it is, for how long the holder has not
 * run, and which states look wrong. */
void describe_stall(const struct picture *picture);

/* Says that the whole process is stopped, by a signal or a debugger, if it is. Returns true if so. */
bool describe_stop(void);

/* Says in one line what was seen of a CPython of which nothing is to be explained. */
void describe_nothing(const struct watched_python *python);

/* Adds a thread: thread 12 "worker". */
void describe_add_thread(struct text *text, pid_t tid);

/* Says in one line of text which CPython it is, and how many threads and states there are. */
void describe_interpreter(const struct watched_python *python);

/* Says in one line of text that there are several CPythons. */
void describe_several(void);

/* Tells, in lines of text, of threads with more than one thread state. */
void describe_states(const struct watched_python *python);

enum { SUSPECTS = 6, SUSPECT_NAME = 256 };

/* For a thread that waits for itself: finds the libraries that its stack goes through, the innermost first. One of them
 * has attached the state that the thread holds; without a journal nobody can say which. Returns how many there are; 0
 * for any other picture. */
size_t describe_suspects(const struct picture *picture, char names[][SUSPECT_NAME], size_t capacity);
