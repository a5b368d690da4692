#!/usr/bin/env bats
# run-with-shim.sh --core: core files of processes that crashed, or were ended while they hung, without the shim.

# shellcheck disable=SC2154 # pid and core

load ../helpers
load ../hanging
load ../cores

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    # With the GIL off nobody holds it: 53-free-threaded.bats.
    ! is_free_threaded || export PYTHON_GIL=1
}
teardown() { unhang; }

# hangs KIND PATTERN: such a program of tests/fixtures/stall hangs (the first line of --pid matches), and is ended.
hangs() {
    require "the kernel does not write core files here" writes_cores
    ulimit -c unlimited
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" "$1"
    explains "==$pid== gilshim: stall: $2"
    quits
    reads
    is_status 0
}
dies() { dies_of env PYTHONPATH="$FIXTURES" "$PYTHON" -c "import gilcrash; gilcrash.run('$1', '${2:-here}')" && reads; }

@test "a mutex and the GIL in both orders" {
    hangs lock_order 'deadlock between *'
    begins "==$pid== gilshim: stall: deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that thread *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)"
    has_line '*#*libstore.so!store_read*'
    has_line '*File "*stall.py", line * in lock_order'
    has_line "*interpreter: CPython $PY_VERSION*, 2 threads, *"
    has_no_line '* s (*'
}

@test "a join with the GIL held" {
    hangs join 'deadlock between *'
    begins "*deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, *) and thread *, which holds the GIL, waits for that thread's end (in libstore.so!store_await+0x*)"
}

@test "README's example: the state was made by another thread" {
    python_before 3.12 || return 0
    require "a static interpreter has no libpython" [ -e "$FIXTURES/readme_example" ]
    require "the kernel does not write core files here" writes_cores
    ulimit -c unlimited
    hang "$FIXTURES/readme_example"
    explains "==$pid== gilshim: stall: deadlock of a thread with itself, *"
    quits
    reads
    is_status 0
    begins "==$pid== gilshim: stall: deadlock of a thread with itself, in *readme_example*: thread * waits for the GIL (PyGILState_Ensure, called by *readme_example*!library_a+0x*) that it holds itself*"
}

# From 3.13 on CPython ends the program by a message of its own.
@test "a thread that waits for itself" {
    python_before 3.13 || return 0
    hangs itself 'deadlock of a thread *'
    begins '*stall: deadlock of a thread with itself, in libengine.so: thread * waits for the GIL (PyEval_AcquireThread, called by libengine.so!engine_attach_again+0x*) that it holds itself*'
}

@test "a crash with the GIL, and without it on a thread of its own" {
    dies null
    is_status 0
    begins '*gilshim: crash: gilcrash.so: SIGSEGV at 0x8 (nothing is mapped there) in gilcrash.so!touch_null+0x* on tid * "*": has the GIL, so it is not a GIL error of this thread'
    has_line '*GIL: the thread that crashed has it, with state 0x*; 0 threads wait for it'
    has_line '*File "<string>", line 1 in <module>'
    dies null thread
    is_status 0
    begins '*gilshim: crash: gilcrash.so: SIGSEGV at 0x8 (*) in gilcrash.so!touch_null+0x* on tid *: does not have the GIL; no state attached, but it was not in CPython*'
    has_line '*GIL: no thread has it; *'
    has_line '*#*gilcrash.so!die_on_thread+0x*'
}

@test "CPython's API called without the GIL" {
    dies call saved
    case $output in *"gilshim: crash: "*) ;; *) told "no crash" ;; esac
    begins '*gilshim: crash: gilcrash.so: SIG* called from gilcrash.so!call_python+0x* (*) on tid *: does not have the GIL; no state attached: the C API was called without the GIL'
}

@test "a state that was deleted is attached" {
    dies deleted
    if [ "$PY_BUILD" = debug ] || is_free_threaded; then # it looks before it attaches, and aborts; or the memory is gone
        begins '*gilshim: crash: gilcrash.so: SIG*'
        return
    fi
    begins '*gilshim: crash: gilcrash.so: SIG*: *the attached state is in no list of CPython*: it was deleted'
}
