#!/usr/bin/env bats
# orphan: a thread ends while it holds the GIL. Without the shim every other thread waits forever. The programs are in
# tests/fixtures/life/orphan.c.

load ../helpers
load ../fixtures/life/life

orphans='orphan-return orphan-exit orphan-old-acquire orphan-attached orphan-two orphan-two-held orphan-moved
    orphan-in-destructor orphan-bare-gil'

setup_file() {
    local program
    for program in $orphans; do
        [ "$program" != orphan-bare-gil ] || python_before 3.12 || continue
        ahead bare module "$program"
    done
    ahead bare embed orphan-return
    ahead repair=all,-orphan module orphan-return
    ahead repair=none module orphan-exit
    ahead_end
}

given_back() {
    failed_ahead bare module "$1"
    works module "$1" "*repaired orphan: *on tid [0-9]*: *"
}

@test "a pthread returns from Ensure without Release" {
    given_back orphan-return
    failed_ahead bare embed orphan-return
    works embed orphan-return
    failed_ahead repair=all,-orphan module orphan-return
}
@test "a pthread calls pthread_exit in Ensure" {
    given_back orphan-exit
    failed_ahead repair=none module orphan-exit
}
@test "a pthread returns from pybind11's acquire" { given_back orphan-old-acquire; }
@test "a pthread returns with a state of its own making attached" { given_back orphan-attached; }
@test "a pthread returns with its second state attached" { given_back orphan-two; }
@test "a pthread returns with one state over another" { given_back orphan-two-held; }
@test "a pthread returns with another thread's state attached" { given_back orphan-moved; }
@test "a destructor of a thread-specific value leaves the GIL held" { given_back orphan-in-destructor; }

# From 3.12 on there is no such thing: no state, no GIL.
@test "a pthread returns with the GIL held and no state" {
    if python_before 3.12; then
        given_back orphan-bare-gil
    else
        works_bare module orphan-bare-gil
        works module orphan-bare-gil
        has_no_line "*repaired orphan: *"
    fi
}

@test "what a later destructor gives back was no orphan" {
    works module none-released-in-destructor
    has_no_line "*repaired orphan: *"
}

# ---- told where nothing is repaired ----------------------------------------------------------------------------------

ends_with_gil() {
    local command LIMIT=5
    life_command module "$2"
    SHIM_OPTIONS=$1 with_shim "${command[@]}"
    has_line "==*== gilshim: DEADLOCK would follow: *on tid [0-9]* \"*\"*: a thread ends while it holds the GIL*"
}

@test "mode=observe and mode=strict tell of a thread that ends with the GIL, and who took it" {
    local program
    for program in orphan-return orphan-attached; do
        ends_with_gil mode=observe:exitcode=9 "$program"
        is_status 9
        has_line "*DEADLOCK would follow: lib*.so: *by lib*.so!*_*+0x* on tid *: *; tstate 0x* since Py* at lib*.so!*+0x* *s ago"
    done
    ends_with_gil mode=observe:exitcode=9 orphan-in-destructor
    ends_with_gil mode=strict orphan-exit
    is_status 66
    ! python_before 3.12 || ends_with_gil mode=observe:exitcode=9 orphan-bare-gil
    # What a later destructor gives back was not left.
    life_command module none-released-in-destructor
    SHIM_OPTIONS=mode=observe LIMIT=5 with_shim "${command[@]}"
    has_no_line "*a thread ends while*"
}

@test "it is told also where its repair is switched off" {
    ends_with_gil repair=all,-orphan orphan-return
    # Where limits are longer (GILSHIM_TEST_PATIENCE) the program sees it itself.
    [ "$status" -eq 137 ] || has_line "breach: *no other thread can take the GIL*"
}

@test "the repair names the state and who attached it, where calls are recorded" {
    SHIM_OPTIONS=verbosity=1:history=8 works module orphan-return
    has_line "*repaired orphan: lib*.so: PyGILState_Ensure by lib*.so!*+0x* on tid [0-9]*: *; tstate 0x* since PyGILState_Ensure at lib*.so!*"
}

# ---- states ----------------------------------------------------------------------------------------------------------

@test "states that a thread has made and nobody freed are told at the end, once for each place" {
    local options
    for options in verbosity=1 history=16 mode=observe mode=strict; do
        SHIM_OPTIONS=$options works module leaves-made "==*== gilshim: warning: libgillife.so: PyThreadState_New by libgillife.so!leave_made+0x* on tid [0-9]* \"*\": a thread ends and leaves thread states *; tstate 0x*"
        [ "$(count_lines '*leaves thread states*')" -eq 1 ]
        # 2.7 finds what a dead thread has left in its slot; its debug build dies of that, where nothing is repaired.
        [ "$options" = mode=strict ] || [ "$PY_VERSION$PY_BUILD$options" = 2.7debugmode=observe ] || SHIM_OPTIONS=$options works module leaves-detached "*warning: libgillife.so: PyThreadState_New by libgillife.so!leave_detached+0x* leaves thread states *"
        [ "$options" = mode=strict ] || SHIM_OPTIONS=$options works module leaves-ensured "*warning: * leaves thread states *"
        works_bare module leaves-made
    done
    SHIM_OPTIONS=history=16 works module leaves-ensured "*warning: *by libgillife.so!leave_ensured+0x* leaves thread states *"
    SHIM_OPTIONS=log_format=json:history=16 works module leaves-made "{*\"type\": \"warning\", \"name\": \"leaves_states\"*\"of_tid\": [0-9]*\"module\": \"libgillife.so\"*}"
    SHIM_OPTIONS=mode=repair works module leaves-made
    has_no_line "*gilshim*"
    SHIM_OPTIONS=verbosity=1 works embed leaves-made
    [ ! -x "$FIXTURES/life-embed" ] || has_line "*by libgillife.so!leave_made+0x* leaves thread states *"
}

@test "states that are handed on, freed by others or with the thread's own data, or CPython's own, are not" {
    local options program
    for options in verbosity=1 mode=observe history=16; do
        for program in leaves-none leaves-no-interpreter; do
            # A debug build dies of the second state of a thread, where nothing is repaired.
            [ "$PY_BUILD" = release ] || [ "$options" != mode=observe ] || continue
            [ "$PY_BUILD" = debug ] || works_bare module "$program"
            SHIM_OPTIONS=$options works module "$program"
            has_no_line "*leaves thread states*"
        done
    done
}
