#!/usr/bin/env bats
# stall=SECONDS on each interpreter, because the way to find the holder of the GIL differs (56-stall.bats has the rest).

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
    first_line "*stall: *thread * has waited for the GIL for * s (in the interpreter's eval loop*); thread * holds it (in libstore.so!store_sleep+0x*)"
}

@test "the holder's Python stack is shown, or why not" {
    stalls never 'gilshim:   advice:'
    first_line '*stall: libstore.so has the GIL: thread * has waited for the GIL for * s (PyGILState_Ensure, called by libengine.so!*); thread * holds it (in libstore.so!store_sleep+0x*)'
    has_python_stack '*File "*stall.py", line * in never'
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

# --- several GILs: interpreters with a GIL of their own (3.12+) ---------------------------------------------------------

# The thread that computes in the other interpreter holds nothing that anybody waits for.
@test "several GILs: the holder of the one that is waited for is named, and nobody else" {
    python_before 3.12 && return
    stalls gils_innocent 'gilshim:   advice:'
    first_line '*stall: libwest.so has the GIL of interpreter 2: thread * has waited for the GIL of interpreter 2 for * s (PyEval_AcquireThread, called by libwest.so!side_attach+0x*); thread * holds it (in libwest.so!side_sleep+0x*)'
    [ "$(count_lines '*  waits: thread *, for the GIL of interpreter 2 (*')" -eq 2 ]
    has_line '*  holds: thread *, the GIL of interpreter 2, state 0x*, attached by PyEval_AcquireThread from libwest.so!side_attach+0x*'
    case $output in *libeast.so*) told "the innocent thread's library is in the report" ;; esac
}

@test "several GILs: a deadlock across two of them, by joins" {
    python_before 3.12 && return
    stalls gils_joined 'gilshim:   advice:'
    first_line "*stall: deadlock across GILs between lib*.so and lib*.so: thread * waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) and thread *, which holds it, waits for a thread's end (in lib*.so!side_join+0x*), that of thread *, which waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) and thread *, which holds it, waits for a thread's end (in lib*.so!side_join+0x*), that of the first thread"
    [ "$(count_lines '*  holds: thread *, the GIL of interpreter 1, *')" -eq 1 ]
    [ "$(count_lines '*  holds: thread *, the GIL of interpreter 2, *')" -eq 1 ]
    has_line '*  advice: a thread that has one interpreter'"'"'s GIL must not wait for another'"'"'s*'
    [ "$(grep -c 'stall: ' <<<"$output")" -eq 1 ] || told "it is told once, not for each GIL"
}

@test "several GILs: a deadlock across two of them, by a mutex and a join" {
    python_before 3.12 && return
    stalls gils_locked 'gilshim:   advice:'
    first_line "*stall: deadlock across GILs between lib*.so and lib*.so: *(in libeast.so!side_lock+0x*), which *"
}

# 3.13 ends the program if a state is attached on top of another one.
@test "several GILs: a deadlock across two of them, each thread by itself" {
    [ "$PY_VERSION" = 3.12 ] || return 0
    SHIM_OPTIONS=repair=none stalls gils_nested 'gilshim:   advice:'
    first_line "*stall: deadlock across GILs between lib*.so and lib*.so: thread * waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) and thread *, which holds it, waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) that the first holds"
}

@test "several GILs: JSON says which" {
    python_before 3.12 && return
    SHIM_OPTIONS=log_format=json stalls gils_joined '"type": *"stall"'
    limited 10 "$PYTHON" -S -c '
import json, sys
stall = [one for one in map(json.loads, sys.argv[1].splitlines()) if one["type"] == "stall"][0]
assert stall["deadlock"] == "across GILs", stall
circle = stall["circle"]
assert sorted(step["gil"] for step in circle) == [1, 2], circle
assert [step["holder_waits_by"] for step in circle] == ["join", "join"]
assert circle[0]["gil"] == stall["holder"]["gil"] == stall["waiter"]["gil"]
assert circle[0]["holder_tid"] == stall["holder"]["tid"] and circle[0]["waiter_tid"] == stall["holder"]["waits_for_tid"]
assert circle[-1]["waiter_tid"] == stall["waiter"]["tid"]' "$output"
    is_status 0
}
