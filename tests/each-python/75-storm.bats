#!/usr/bin/env bats
# Many threads at once, half of them Python's and half foreign. Each runs random programs of the nesting suite, while the
# interpreter switches threads as often as it can (tests/fixtures/storm). Also, threads that come and go must leave nothing behind.
# The long form: `make storm`.

load ../helpers

setup_file() {
    # Made by the host's Python, so that they are the same for each interpreter. What can't be
    # decided (shim/doc/limits.md) is left out.
    PROGRAMS=$BATS_FILE_TMPDIR/programs
    local without=keepA,keepB,detach
    # Py_NewInterpreter exchanges the allocators for a moment, which with the debug allocator is no exchange of equals:
    # PyThreadState_New on another thread, without the GIL as it may be called, then crashes or mixes up two allocators. So
    # it does in CPython 3.11 alone, with nothing else about: four threads that only do that die within a minute.
    [ "$PY_BUILD" != debug ] || without=$without,sub
    # Without the GIL what a thread makes with another one's state is not safe from a third thread, in CPython itself.
    ! is_free_threaded || without=$without,made,lent,handed,movedA,movedB,movedP
    "$ROOT/tests/nesting/run" --tag "$PY_TAG" --list --random 200 --tree-depth 5 --size 10 --seed 75 \
        --without "$without" >"$PROGRAMS"
    export PROGRAMS
}

# play HOW THREADS SEED PROGRAMS SECONDS
play() {
    local how=$1
    shift
    export MALLOC_ARENA_MAX=2
    LIMIT=240 "$how" sh -c 'exec "$0" "$@" <"$PROGRAMS"' \
        "$PYTHON" -S "$ROOT/tests/fixtures/storm/storm.py" "$FIXTURES/gilstorm.so" "$@"
}

lives() {
    require "$NEEDS_KERNEL" has_kernel # qemu-user itself keeps 280 KB of each thread
    export MALLOC_ARENA_MAX=2
    LIMIT=240 works_with "$PYTHON" -S "$ROOT/tests/fixtures/storm/lives.py" "$FIXTURES/gilstorm.so" "$@"
}

@test "a few threads play programs against each other" {
    play works_with 6 1276 12 0
    has_line '* programs, * turns, 0 breaches'
}

@test "many threads play programs against each other" {
    play works_with 40 2888 1000 2
    has_line '* programs, * turns, 0 breaches'
}

@test "many threads in a build without the GIL that has it switched off, and on" {
    is_free_threaded || return 0
    PYTHON_GIL=0 play works_with 64 1319 1000 4
    has_line '* programs, * turns, 0 breaches'
    PYTHON_GIL=1 play works_with 16 1319 1000 2
    has_line '* programs, * turns, 0 breaches'
}

@test "without the shim the same storm is stuck or dies" {
    play fails_without 6 1276 12 0
}

@test "the judge notices: with the repairs switched off the same storm is stuck or dies" {
    SHIM_OPTIONS=repair=none play fails_with 6 1276 12 0
}

@test "short lives of foreign threads leave nothing behind" { lives all "${GILSHIM_TEST_LIVES:-5000}" 8; }

@test "short lives of Python's threads leave nothing behind" { lives python "${GILSHIM_TEST_LIVES:-1000}" 8; }
