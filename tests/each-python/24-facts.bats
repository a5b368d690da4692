#!/usr/bin/env bats
# Sequences of calls that break some tempting design of such a shim (tests/fixtures/facts), with their numbers in the notes. All
# end well: in a plain interpreter, under the debug allocator (which aborts if PyGILState_Check() is not 1), and with tracemalloc
# (whose hook calls PyGILState_Ensure in every allocation, including that of a new thread state).
#
# The following are tested elsewhere or not at all:
#   I-3   3.15's slot is not a key: 30-repairs.bats shows `moved` there, on a machine with 3.15 (make matrix)
#   I-8   the finalizing thread attaches another state: 32-finalize.bats
#   I-17  fork with a second state attached: 38-fork.bats
#   I-18  another library reuses a key number after Py_Finalize: every write is checked with CPython's own getter before and
#         after (slot.c), so this can't happen; two libpythons in one process: tests/10-binding.bats
#   I-23  what Python code sees under a second state (threading.local, contextvars, asyncio's loop): 36-share.bats
# I-22 (calls through dlsym or a capsule that bypass the shim) is run with I-10.

load ../helpers

# Sub-interpreters come last: once there was one, PyGILState_Check() says 1 for ever.
numbers='I-1 I-2 I-4 I-5 I-6 I-7 I-9 I-10 I-11 I-12 I-13 I-14 I-15 I-19 I-20 I-21 I-24 I-16'

# 2.7's own PyGILState_GetThisThreadState takes a lock: not for signal handlers, with or without a shim.
has_safe_getter() { [ "$PY_VERSION" != 2.7 ]; }
# PYTHONMALLOC is new in 3.6, tracemalloc in 3.4.
has_debug_allocator() { [ "$PY_VERSION" != 2.7 ]; }

played() {
    local list=$numbers
    has_safe_getter || list=${list/I-14 /}
    may_use_anothers_state || {
        list=${list/I-2 /}
        list=${list/I-12 /}
    }
    echo "$list"
}

# Up to 3.11 tracemalloc's Ensure and Release come from inside CPython, where no shim sees them, and go by the slot alone.
# Where the slot can't be right at that moment (a sub-interpreter being made, the GIL held without a state, a state in the
# middle of its Clear, on 3.12 too) CPython hangs, and so it does without the shim; the last test here sees to that.
# In builds without the GIL that Ensure waits for the pause that its own thread has asked for in PyThreadState_New.
# Debug builds of 3.12 to 3.14 can't be asked where bound_gilstate is while tracemalloc is on (shim/cpython/bound.c).
is_beyond_tracemalloc() {
    if [ "$PY_BUILD" = debug ] && ! python_before 3.12 && python_before 3.15; then
        case $1 in I-2 | I-4 | I-5 | I-11 | I-12 | I-13 | I-15 | I-24) return 0 ;; esac
    fi
    case $1 in
    I-13) python_before 3.13 ;;
    I-24) is_free_threaded ;;
    I-16 | I-20) python_before 3.12 ;;
    *) false ;;
    esac
}

# play NAME SETTING...: the sequences in one process, with these variables set
play() {
    local name=$1 number list=()
    shift
    for number in $(played); do
        [ "$name" != tracemalloc ] || ! is_beyond_tracemalloc "$number" || continue
        list+=("$number")
    done
    LIMIT=100 with_shim env "$@" "$PYTHON" -S "$ROOT/tests/fixtures/facts/run.py" "$FIXTURES" "${list[@]}"
    printf '%s\n' "$output" "status $status" >"$BATS_FILE_TMPDIR/$name"
}

setup_file() {
    play plain PYTHONHASHSEED=0
    if has_debug_allocator; then
        play debug PYTHONMALLOC=debug
        play tracemalloc PYTHONTRACEMALLOC=1
    fi
}

holds() {
    local name
    # Alone, too: what others have left behind may hide a fault.
    LIMIT=30 works_with "$PYTHON" -S "$ROOT/tests/fixtures/facts/run.py" "$FIXTURES" "$1"
    has_line "ok $1"
    for name in plain debug tracemalloc; do
        [ "$name" = plain ] || has_debug_allocator || continue
        [ "$name" != tracemalloc ] || ! is_beyond_tracemalloc "$1" || continue
        grep -qx "ok $1" "$BATS_FILE_TMPDIR/$name" || {
            cat "$BATS_FILE_TMPDIR/$name"
            echo "$name: $1 does not end well"
            return 1
        }
    done
}

@test "I-1: the slot does not stay with a state that is parked" { holds I-1; }
@test "I-2: from 3.12 on, the slot's bookkeeping stays right, whatever moves" {
    may_use_anothers_state || return 0
    holds I-2
}
@test "I-4: a Release that meets another state than its Ensure does not free it" { holds I-4; }
@test "I-5: a state with a count of 0 survives a nested pair, in a destructor too" { holds I-5; }
@test "I-6: where Ensure says LOCKED the slot names the attached state" { holds I-6; }
@test "I-7: a state that CPython itself released is not taken for attached" { holds I-7; }
@test "I-9: which detach ends a block over a held GIL, and which is a release block inside" { holds I-9; }
@test "I-10, I-22: halves of pairs that go past the shim still match" { holds I-10; }
@test "I-11: a state beneath that another thread deleted does not come back" { holds I-11; }
@test "I-12: a parked state that went to another thread is not resumed" {
    may_use_anothers_state || return 0
    holds I-12
}
@test "I-13: Python code inside Clear, Release and New" { holds I-13; }
@test "I-14: a signal handler asks for the thread's state" {
    has_safe_getter || return 0
    holds I-14
}
@test "I-15: a state that was attached here is deleted by another thread" { holds I-15; }
@test "I-16: a sub-interpreter's state comes and goes" { holds I-16; }
@test "I-19: nothing is left for the next thread of the same ident" { holds I-19; }
@test "I-20: Swap takes nothing and gives nothing up to 3.11" { holds I-20; }
@test "I-21: a state is cleared that is not attached" { holds I-21; }

@test "I-24: another thread's state is deleted while a third one makes states" { holds I-24; }

@test "all of them end well together" {
    local name
    for name in plain debug tracemalloc; do
        [ "$name" = plain ] || has_debug_allocator || continue
        tail -n 1 "$BATS_FILE_TMPDIR/$name" | grep -qx "status 0" || {
            cat "$BATS_FILE_TMPDIR/$name"
            return 1
        }
    done
}

# What is left out above is no harm done: bare, those hang or die as well.
@test "with tracemalloc, what is out of reach does not end well without the shim" {
    has_debug_allocator || return 0
    local number
    for number in $(played); do
        is_beyond_tracemalloc "$number" || continue
        LIMIT_BARE=4 fails_without env PYTHONTRACEMALLOC=1 "$PYTHON" -S "$ROOT/tests/fixtures/facts/run.py" "$FIXTURES" "$number"
    done
}
