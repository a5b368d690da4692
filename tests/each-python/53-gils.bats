#!/usr/bin/env bats
# Several GILs: interpreters with a GIL of their own (3.12+). Stall reports and timelines go by GIL. 66-inspect.bats has the same from
# outside.

load ../helpers
load ../stalls

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    # With the GIL off no interpreter has one.
    ! is_free_threaded || export PYTHON_GIL=1
}

has_several() { python_from 3.12; }

# The thread that computes in the other interpreter holds nothing that anybody waits for.
@test "several GILs: the holder of the one that is waited for is named, and nobody else" {
    has_several || return 0
    stalls gils_innocent 'gilshim:   advice:'
    first_line '*stall: libwest.so has the GIL of interpreter 2: thread * has waited for the GIL of interpreter 2 for * s (PyEval_AcquireThread, called by libwest.so!side_attach+0x*); thread * holds it (in libwest.so!side_sleep+0x*)'
    # Two wait, but on a busy machine the second may not have done so for 0.3 s.
    has_line '*  waits: thread *, for the GIL of interpreter 2 (*'
    [ "$(count_lines '*  waits: thread *, for the GIL of interpreter 2 (*')" -eq "$(count_lines '*  waits: *')" ]
    has_line '*  holds: thread *, the GIL of interpreter 2, state 0x*, attached by PyEval_AcquireThread from libwest.so!side_attach+0x*'
    case $output in *libeast.so*) told "the innocent thread's library is in the report" ;; esac
}

# What an interpreter is given to run is called <string>, from 3.15 on <script>.
@test "several GILs: threads of Python alone" {
    has_several || return 0
    stalls gils_unseen 'gilshim: *File "<s[a-z]*>"\|not available: this interpreter is stripped'
    # Not the module of CPython's by which the code was started.
    first_line "*stall: thread * has waited for the GIL of interpreter 1 for * s (in the interpreter's eval loop*); thread * holds it (in CPython itself)*"
    has_line '*  holds: thread *, the GIL of interpreter 1, *'
    has_line '*    it is running'
    has_python_stack '*File "<s[tc]ri[np][gt]>", line 8 in <module>'
}

@test "several GILs: a deadlock across two of them, by joins" {
    has_several || return 0
    stalls gils_joined 'gilshim:   advice:'
    first_line "*stall: deadlock across GILs between lib*.so and lib*.so: thread * waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) and thread *, which holds it, waits for a thread's end (in lib*.so!side_join+0x*), that of thread *, which waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) and thread *, which holds it, waits for a thread's end (in lib*.so!side_join+0x*), that of the first thread"
    [ "$(count_lines '*  holds: thread *, the GIL of interpreter 1, *')" -eq 1 ]
    [ "$(count_lines '*  holds: thread *, the GIL of interpreter 2, *')" -eq 1 ]
    has_line '*  advice: a thread that has one interpreter'"'"'s GIL must not wait for another'"'"'s*'
    [ "$(grep -c 'stall: ' <<<"$output")" -eq 1 ] || told "it is told once, not for each GIL"
}

@test "several GILs: a deadlock across two of them, by a mutex and a join" {
    has_several || return 0
    stalls gils_locked 'gilshim:   advice:'
    first_line "*stall: deadlock across GILs between lib*.so and lib*.so: *(in libeast.so!side_lock+0x*), which *"
}

# 3.13 ends the program if a state is attached on top of another one.
@test "several GILs: a deadlock across two of them, each thread by itself" {
    [ "$PY_VERSION" = 3.12 ] && has_several || return 0
    SHIM_OPTIONS=repair=none stalls gils_nested 'gilshim:   advice:'
    first_line "*stall: deadlock across GILs between lib*.so and lib*.so: thread * waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) and thread *, which holds it, waits for the GIL of interpreter * (PyEval_AcquireThread, called by lib*.so!side_attach+0x*) that the first holds"
}

@test "several GILs: JSON says which" {
    has_several || return 0
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

@test "several GILs: a timeline says of each hold of which, and no two of one overlap" {
    has_several || return 0
    SHIM_OPTIONS=timeline=t with_shim "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" gils_in_turn
    is_status 0
    is_silent
    without python3 -E "$ROOT/tests/fixtures/stall/check_timeline.py" t.* closed exclusive
    is_status 0
    has_line 'holds the GIL of interpreter 0 *'
    local gil
    for gil in 1 2; do
        [ "$(sed -n "s/^holds the GIL of interpreter $gil //p" <<<"$output")" -ge 40 ] || told "too few holds of $gil"
    done
}
