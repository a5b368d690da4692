#!/usr/bin/env bats
# Builds without the GIL (3.13t): what is reported there. With the GIL off, threads wait for pauses of all threads; with it on, all
# is as in other builds. Nothing of this holds for an interpreter with a GIL.

# shellcheck disable=SC2154 # pid: set by hang

load ../helpers
load ../stalls
load ../hanging
load ../cores

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    export PYTHON_GIL=0
}
teardown() { unhang; }

collector_waits='thread * has waited for a pause of all threads for * s (in the interpreter)'
sleeper_delays='thread * stays attached (in libstore.so!store_sleep+0x*)'

@test "the probes of --check find an interpreter" {
    limited 60 "$ROOT/run-with-shim.sh" --check "$PYTHON"
    is_status 0
    has_line 'gilshim: repair held: available*'
    has_no_line "*can't be told*"
    is_free_threaded || return 0
    has_line 'gilshim: interpreter: CPython * free-threaded *'
    has_line 'gilshim: GIL: off, unless PYTHON_GIL=1 *'
}

@test "a pause that is delayed: by which thread, in which library; who waits for it" {
    is_free_threaded || return 0
    stalls pause_delayed 'gilshim:   advice:'
    first_line "*stall: libstore.so delays a pause of all threads: $collector_waits; $sleeper_delays"
    has_line '*  waits: thread *, for at least * s, for a pause of all threads (in the interpreter)'
    has_line '*  attached: thread *, state 0x*'
    has_line '*  it is in *poll*'
    has_line '*native stack of the attached thread*'
    has_line '*  advice: *Py_BEGIN_ALLOW_THREADS*'
    has_no_line '*holds the GIL*'
}

@test "a thread that can't attach its state before the pause is over" {
    is_free_threaded || return 0
    stalls pause_awaited 'gilshim:   waits: .* to end (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x'
    first_line "*stall: libstore.so delays a pause of all threads: *"
}

@test "a pause and a mutex, in both orders" {
    is_free_threaded || return 0
    stalls pause_locked 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: thread * waits for a pause of all threads (in the interpreter, below libengine.so!*) and has the mutex that thread *, which stays attached, waits for (in libstore.so!store_lock+0x*)'
}

@test "JSON says that it is about a pause" {
    is_free_threaded || return 0
    SHIM_OPTIONS=log_format=json stalls pause_delayed '"type": *"stall"'
    without python3 -E -c 'import json, sys; it = json.loads(sys.argv[1].split("\n")[0]); print(it["pause"], it["holder"]["library"], "gil" in it["holder"], it["waiter"]["call"])' "$output"
    has_line 'delayed libstore.so False None'
}

@test "from outside: a pause that is delayed, and a deadlock" {
    is_free_threaded || return 0
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" pause_delayed
    explains "==$pid== gilshim: stall: libstore.so delays a pause of all threads: thread * has waited for a pause of all threads for at least * s (in the interpreter*); thread * stays attached (in libstore.so!store_sleep+0x*)"
    has_line "*interpreter: CPython $PY_VERSION* free-threaded *"
    has_line '*still: the attached thread has not run for * s'
    unhang
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" pause_locked
    explains "==$pid== gilshim: stall: deadlock between libengine.so and libstore.so: thread * waits for a pause of all threads (*) and has the mutex that thread *, which stays attached, waits for (in libstore.so!store_lock+0x*)"
}

# seen_from_outside KIND FIRST-LINE: of a program that hangs, with the GIL off and on.
seen_from_outside() {
    local gil
    for gil in 0 1; do
        PYTHON_GIL=$gil hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" "$1"
        explains "==$pid== gilshim: $2"
        unhang
    done
}

# Its PyGILState_Ensure is making the state.
@test "a thread without a state asks for the pause, with the GIL off and on; from outside, too" {
    is_free_threaded || return 0
    stalls first_thread 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: thread * waits for a pause of all threads* (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that thread *, which stays attached, waits for (in libstore.so!store_lock+0x*)'
    seen_from_outside first_thread "stall: deadlock between libengine.so and libstore.so: thread * waits for a pause of all threads* (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that thread *, which stays attached, waits for (in libstore.so!store_lock+0x*)"
}

@test "a thread that makes a state asks for the pause, with the GIL off and on; from outside, too" {
    is_free_threaded || return 0
    stalls first_state 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: thread * waits for a pause of all threads (PyThreadState_New, called by libengine.so!run_maker+0x*) and has the mutex that thread *, which stays attached, waits for (in libstore.so!store_lock+0x*)'
    PYTHON_GIL=1 stalls first_state 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyThreadState_New, called by libengine.so!run_maker+0x*) and has the mutex that thread *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)'
    seen_from_outside first_state "stall: deadlock between libengine.so and libstore.so: thread * waits for a pause of all threads* (*libengine.so!run_maker+0x*) and has the mutex that thread *, which stays attached, waits for (in libstore.so!store_lock+0x*)"
}

@test "from a core file: a pause and a mutex" {
    is_free_threaded || return 0
    require "the kernel does not write core files here" writes_cores
    ulimit -c unlimited
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" pause_locked
    explains "==$pid== gilshim: stall: deadlock between *"
    quits
    reads
    is_status 0
    begins "==$pid== gilshim: stall: deadlock between libengine.so and libstore.so: thread * waits for a pause of all threads (*) and has the mutex that thread *, which stays attached, waits for (in libstore.so!store_lock+0x*)"
}

@test "with the GIL on, reports speak of it" {
    is_free_threaded || return 0
    export PYTHON_GIL=1
    stalls never 'gilshim:   advice:'
    first_line '*stall: libstore.so has the GIL: thread * has waited for the GIL for * s (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*); thread * holds it (in libstore.so!store_sleep+0x*)'
    SHIM_OPTIONS=summary=1 works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" often 10
    without echo "$output"
    [[ ${output//$'\n'/ } == *' GIL on '* ]] || told 'the summary does not say that the GIL is on'
}

@test "a module switches the GIL on while threads come and go" {
    is_free_threaded || return 0
    local options
    for options in summary=1 stall=5:summary=1 timeline=t:summary=1 mode=strict:summary=1; do
        SHIM_OPTIONS=$options works_with env -u PYTHON_GIL "$PYTHON" -W ignore "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" switched_on "$FIXTURES" gilmisuse
        has_line 'the GIL: False, then True'
        has_no_line '*stall: *'
        without echo "$output"
        [[ ${output//$'\n'/ } == *' GIL on '* ]] || told 'the summary does not say that the GIL is on'
        [[ ${output//$'\n'/ } == *'repaired     nothing'* ]] || told 'something was repaired'
    done
}

# The lines of the summary are cut at 80 columns.
@test "the summary counts as waits only what may have been one" {
    is_free_threaded || return 0
    SHIM_OPTIONS=summary=1:stall=5 works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" pauses
    has_no_line '*stall: *'
    [[ ${output//$'\n'/ } == *' GIL off '* ]] || told 'the summary does not say that the GIL is off'
    has_line '*  module         attached waits waited  worst   kept  worst'
    local taken waits
    read -r taken waits < <(sed -n 's/.* libengine.so  *\([0-9]*\)  *\([0-9]*\) .*/\1 \2/p' <<<"$output")
    [ "$taken" -eq 160000 ] || told "attached $taken times"
    [ "$waits" -le 2000 ] || told "of $taken, $waits were waits"
}

@test "the timeline has threads attached at the same time, and no GIL" {
    is_free_threaded || return 0
    SHIM_OPTIONS=timeline=t works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" healthy 1
    without python3 -E "$ROOT/tests/fixtures/stall/check_timeline.py" t.* closed
    is_status 0
    has_line 'attached *'
    has_line 'state attached *'
    has_no_line '*the GIL*'
}

# When the second thread state is made, 3.13 makes functions immortal: that is to be the program's, no probe's.
@test "a program with one thread: a function dies as it does bare" {
    is_free_threaded || return 0
    local how script='
import ctypes, gc, weakref
for _ in range(8):
    ctypes.CDLL(None).usleep(1)
def function(): pass
last = weakref.ref(function)
del function
gc.collect()
print("kept" if last() else "freed")'
    for how in without works_with; do
        "$how" "$PYTHON" -S -c "$script"
        has_line freed
    done
}

# CPython frees what a state has of free lists on the state's own thread only: 2.8 KB a thread were lost.
@test "keep=1: no memory is lost with threads that come and go" {
    is_free_threaded || return 0
    SHIM_OPTIONS=keep=1 LIMIT=200 works_with env MALLOC_ARENA_MAX=2 "$PYTHON" -S "$ROOT/tests/fixtures/storm/lives.py" "$FIXTURES/gilstorm.so" makes 10000 8
}

@test "moved: the report says that CPython itself is not safe there" {
    is_free_threaded || return 0
    # A debug build asserts.
    [ "$PY_BUILD" != debug ] || return 0
    SHIM_OPTIONS=verbosity=1 works_with "$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" moved
    has_line '*gilshim: repaired moved: *: with the GIL off CPython itself is not safe here, *'
    PYTHON_GIL=1 SHIM_OPTIONS=verbosity=1 works_with "$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" moved
    has_line '*gilshim: repaired moved: *'
    has_no_line '*with the GIL off*'
}
