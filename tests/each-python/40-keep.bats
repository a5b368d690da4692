#!/usr/bin/env bats
# keep=1: a foreign thread keeps the thread state that PyGILState_Ensure made until the thread ends. The programs are in
# tests/fixtures/life/keep.c.

load ../helpers
load ../fixtures/life/life

setup_file() {
    ahead bare module keep-same
    ahead '' module keep-same
    ahead_end
}

# In builds without the GIL, on or off, keep=1 keeps nothing (shim/doc/limits.md): what only a kept state does is left out there.
keeps() { ! is_free_threaded; }

kept() {
    SHIM_OPTIONS=keep=1:verbosity=1 works "${2:-module}" "$1"
    has_no_line "*gilshim: *"
}

@test "the state is the same at each call, and gone with its thread, whose end waits for nothing" {
    keeps || return 0
    failed_ahead bare module keep-same
    failed_ahead '' module keep-same
    kept keep-same
    kept keep-same embed
}
@test "what is thread-local ends with the thread, in a call of another's" { ! keeps || kept keep-in-destructor; }
@test "who deletes it by hand gets a new one" { kept keep-deleted; }
@test "a sub-interpreter is visited meanwhile" { SHIM_OPTIONS=keep=1 works module keep-interpreter; }
@test "an old pybind11's blocks in and beside it" { SHIM_OPTIONS=keep=1 works module keep-library; }
@test "fork, with kept states of this thread and others" { ! keeps || kept keep-forked; }
@test "the interpreter ends while threads live that keep one" {
    kept keep-finalized
    kept keep-finalized embed
}

@test "short lives of foreign threads leave nothing behind" {
    require "$NEEDS_KERNEL" has_kernel # qemu-user itself keeps 280 KB of each thread
    export MALLOC_ARENA_MAX=2
    SHIM_OPTIONS=keep=1 LIMIT=240 works_with "$PYTHON" -S "$ROOT/tests/fixtures/storm/lives.py" "$FIXTURES/gilstorm.so" all 1500 8
}

@test "generated programs survive as without it" {
    LIMIT=300 without "$ROOT/tests/nesting/run" --tag "$PY_TAG" --lib "$GILSHIM_LIB" --failures 5 --shim \
        --shim-options keep=1 --env GILNEST_KEEPS=1 --random 80 --size 14 --seed 2019
    is_status 0
    has_line "$PY_TAG *with the shim 100.0% *"
}

# From 3.11 on a state costs more than everything else in a call-back; the bench says how much more.
@test "calls of a foreign thread are at least twice as fast as bare" {
    if [ "$PY_BUILD" = debug ] || python_before 3.11 || ! keeps; then return 0; fi
    LIMIT=120 without "$ROOT/tests/bench/ratio" "$PYTHON" "$PY_INCLUDE" foreign "$GILSHIM_LIB" keep=1 2
    is_status 0
}
