/* The slot of a thread with two states, which hooks/two_states.c moves: what owner.c tells it, and what it has put
 * off. */
#pragma once

#include "states/owner.h"

/* For owner_leave: the slot is where we moved it, and nothing else is pending in the record. From now on the wrappers
 * count nested Ensures on their own on 2.7, too (plain_counted). */
void two_states_begin(struct owner *me);

/* Does what two_states_save has put off. Called before anything reads the slot. */
static inline void two_states_move_late(void) {
    if (owner_fast.two_states_is_late) {
        owner_fast.two_states_is_late = false;
        slot_set(owner_fast.two_states_home);
    }
}
