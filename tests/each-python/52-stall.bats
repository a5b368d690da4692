#!/usr/bin/env bats
# stall=SECONDS on each interpreter, because the way to find the holder of the GIL differs (56-stall.bats has the rest).

load ../helpers
load ../stalls

# With the GIL off nobody holds it: 53-free-threaded.bats.
setup() { ! is_free_threaded || export PYTHON_GIL=1; }

@test "a mutex and the GIL in both orders: both libraries are named" {
    stalls lock_order 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: *(PyGILState_Ensure, called by libengine.so!*, which holds the GIL, waits for (in libstore.so!store_lock+0x*)'
}

# 2.7's lock is no part of CPython's own data: what its loop waits for can't be told.
@test "a holder that no library has met before is named, and a waiter that none has" {
    python_before 3.6 && return
    stalls python_thread 'gilshim:   advice:'
    first_line "*stall: *thread * has waited for the GIL for * s (in the interpreter's eval loop*); thread * holds it (in libstore.so!store_sleep+0x*)"
}

@test "the holder's Python stack is shown, or why not" {
    stalls never 'gilshim:   advice:'
    first_line '*stall: libstore.so has the GIL: thread * has waited for the GIL for * s (PyGILState_Ensure, called by libengine.so!*); thread * holds it (in libstore.so!store_sleep+0x*)'
    has_python_stack '*File "*stall.py", line * in never'
}

# From 3.12 on, libpython's thread-locals are then made for each thread at their first use.
@test "with an auditor (LD_AUDIT) the holder is named, too" {
    LD_AUDIT=$FIXTURES/../auditor.so stalls never 'gilshim:   advice:'
    first_line '*stall: libstore.so has the GIL: *(PyGILState_Ensure, called by libengine.so!*); thread * holds it (in libstore.so!store_sleep+0x*)'
}

# Up to 3.11 the threads would hang bare.
@test "PyGILState_Check in a signal handler only answers, whatever its thread is inside of" {
    python_before 3.4 && return
    works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" asked_in_handler
}

# witness OPTIONS [dropped]: prints what the program notices of its signals.
witness() {
    GILSHIM_OPTIONS=$1 timeout -s KILL 60 env ${1:+LD_PRELOAD="$GILSHIM_LIB"} "$PYTHON" \
        "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" witnessed "${@:2}" 3>&- </dev/null
}

@test "no call of the program's is cut short; dispositions and masks are as without the shim" {
    local log=$BATS_TEST_TMPDIR/log options names=() programs=() i expected
    witness '' >"$log.bare" &
    programs+=($!)
    for options in verbosity=0 verbosity=0:summary=1:history=32 stall=0.1 stall=0.1:summary=1 timeline="$log.trace"; do
        names+=("$log.${#names[@]}")
        witness "log_path=${names[-1]}.told:$options" >"${names[-1]}" &
        programs+=($!)
    done
    witness "log_path=$log.dropped.told:stall=0.1" dropped >"$log.dropped" &
    programs+=($!)
    wait "${programs[@]}"
    expected=$(cat "$log.bare")
    case $expected in 'interrupted 0'*) ;; *) told "not even without the shim: $expected" ;; esac
    for i in "${names[@]}" "$log.dropped"; do
        output=$(diff "$log.bare" "$i") || told "differs with the shim: $i"
    done
    # There was something to tell; on a busy machine the stalls run into one another.
    for i in 2 3 dropped; do
        output=$(grep -h 'stall: .*thread .* has waited for the GIL' "$log.$i".told.*) || :
        [ -n "$output" ] || told "the stalls were not told: $i"
    done
}

# Each has the GIL for 5 ms in turn, and waits for it whenever it is looked at.
@test "seventy threads that compute are not spoken of" {
    LIMIT=150 SHIM_OPTIONS=stall=1 works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" busy 70 4
    has_line 'all went on'
    has_no_line '*gilshim:*'
}

# The number of the GIL's moves, which says so, is known from 3.7 on.
@test "threads that ask for the GIL ten thousand times a second are found waiting" {
    python_before 3.7 && return
    stalls impatient 'gilshim:   advice:'
    first_line "*stall: *thread * has waited for the GIL for * s (in the interpreter's eval loop); thread * holds it (in libstore.so!store_sleep+0x*)"
    has_no_line '*stall: over *'
}

# Its wait is one that the shim saw, although the thread has a state attached.
@test "mode=observe: a thread that waits for itself in PyGILState_Ensure" {
    python_before 3.12 || return 0
    require "a static interpreter has no libpython" [ -e "$FIXTURES/readme_example" ]
    LIMIT_BARE=8 SHIM_OPTIONS=stall=0.5:mode=observe fails_with "$FIXTURES/readme_example"
    has_line '*stall: deadlock of a thread with itself, in *readme_example*, which attached a state (PyEval_AcquireThread at *readme_example*!library_a+0x*): thread * waits for the GIL (PyGILState_Ensure, called by *readme_example*!library_a+0x*) that it holds itself*'
    has_line '*advice: *this mode repairs nothing, mode=repair does'
}
