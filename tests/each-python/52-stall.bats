#!/usr/bin/env bats
# stall=SECONDS on each interpreter: who holds the GIL is found out in a way of its own on each (56-stall.bats has the rest).

load ../helpers
load ../stalls

@test "a mutex and the GIL in both orders: both libraries are named" {
    stalls lock_order 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: *(PyGILState_Ensure, called by libengine.so!*, which holds the GIL, waits for (in libstore.so!store_lock+0x*)'
}

# 2.7's lock is no part of CPython's own data: what its loop waits for can't be told.
@test "a holder that no library has met before is named, and a waiter that none has" {
    python_before 3.6 && return
    stalls python_thread 'gilshim:   advice:'
    first_line "*stall: thread * has waited for the GIL for * s (in CPython's own loop*); thread * holds it (in libstore.so!store_sleep+0x*)"
}

@test "the holder's Python stack is shown, or why not" {
    stalls never 'gilshim:   advice:'
    first_line '*stall: thread * has waited for the GIL for * s (PyGILState_Ensure, called by libengine.so!*); thread * holds it (in libstore.so!store_sleep+0x*)'
    has_python_stack '*File "*stall.py", line * in never'
}
