/* Why the calling thread has no thread state attached, as far as its last calls tell. For reports. */
#pragma once

#include "cpython/cpython.h"
#include "system/text.h"

/* Adds the reason, for example "this thread gave it up by PyEval_SaveThread at libfoo.so!bar+0x12 0.000012 s ago". Reads
 * the thread's last events (journal.h), and asks CPython what is safe at any time. `now`: ticks. Takes some KiB of stack:
 * see aside.h. Takes no lock. Async-signal-safe as far as symbol_add is. */
void absence_add(struct text *text, uint64_t now);

/* To be called when a thread is seen to have a state attached: there is an interpreter. If CPython says later that it is not
 * initialized, it has been finalized, maybe unseen by its own main program. Async-signal-safe. */
void absence_note_attached(void);
