#!/usr/bin/env bats
# run-with-shim.sh --pid: a process that was started bare and hangs is explained from outside, with the library at fault first. It
# goes on hanging as before.

# shellcheck disable=SC2154 # pid and program: set by hang

load ../helpers
load ../hanging

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    # With the GIL off nobody holds it: 53-free-threaded.bats.
    ! is_free_threaded || export PYTHON_GIL=1
}
teardown() { unhang; }

# names KIND PATTERN: such a program of tests/fixtures/stall hangs; the first line matches.
names() {
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" "$1"
    explains "==$pid== gilshim: stall: $2"
}
# What CPython's memory says: the Python stack of the holder, of every version.
has_stacks() {
    has_line "*native stack of the holder"
    has_line "*#*libstore.so!*"
    has_line "*File \"*stall.py\", line * in $1"
    has_line "*interpreter: CPython $PY_VERSION*"
}

@test "a mutex and the GIL in both orders; the process is as it was" {
    names lock_order 'deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that thread *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)'
    has_stacks lock_order
    has_line '*still: the holder has not run for * s'
    traces before
    look_at "$pid"
    is_status 0
    local first=${lines[0]}
    traces after
    diff before after || told "the process is not as it was"
    look_at "$pid"
    [ "${lines[0]}" = "$first" ] || told "another answer than before: $first"
}

@test "the static of a C++ function and the GIL" {
    names guard 'deadlock between libengine.so and libsettings.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!*) while it initializes the C++ static that thread *, which holds the GIL, waits for (in libsettings.so!settings::get+0x*)'
}

@test "call_once and the GIL" {
    names once 'deadlock between libengine.so and libstore.so, inside libvault.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) inside the pthread_once (std::call_once) that thread *, which holds the GIL, waits for (in libvault.so!vault_begin+0x*, called by libstore.so!store_begin_vault_after+0x*)'
}

@test "a third library's own lock and the GIL" {
    names inside 'possible deadlock between libengine.so and libstore.so, inside libvault.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) inside the library in whose lock thread *, which holds the GIL, sleeps (in libvault.so!vault_enter+0x*, called by libstore.so!store_read_vault_after+0x*)'
}

@test "two mutexes and the GIL in a circle of three threads" {
    names circle 'deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) in a circle of mutexes at whose end is thread *, which holds the GIL (in libstore.so!store_lock_next+0x*)'
}

@test "a join with the GIL held" {
    names join "deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!*) and thread *, which holds the GIL, waits for that thread's end (in libstore.so!store_await+0x*)"
    has_stacks join
}

@test "a thread that lost the GIL in CPython's own loop, with a mutex in its hands" {
    names unseen "deadlock between libengine.so and libstore.so: thread * waits for the GIL (in the interpreter's eval loop, below libengine.so!run_callback+0x*) and has the mutex that thread *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)"
    has_stacks unseen
    has_line '*Python stack of the waiting thread'
}

@test "a holder that never lets go" {
    names never 'libstore.so has the GIL: thread * has waited for the GIL for at least * s (PyGILState_Ensure, called by libengine.so!*); thread * holds it (in libstore.so!store_sleep+0x*)'
    has_line '*it is in *poll*' # AArch64 has ppoll only
}

@test "a holder that is a thread of Python's own" {
    names python_thread "libstore.so has the GIL: thread * has waited for the GIL for at least * s (*); thread * holds it (in libstore.so!store_sleep+0x*)"
    has_stacks hold
}

# From 3.13 on CPython ends the program by a message of its own.
@test "a thread that waits for itself" {
    python_before 3.13 || return 0
    names itself 'deadlock of a thread with itself, in libengine.so: thread * waits for the GIL (PyEval_AcquireThread, called by libengine.so!engine_attach_again+0x*) that it holds itself*'
    has_line '*suspects: *libengine.so*'
}

# Up to 3.11 nothing but the stack of its own thread shows that it has the state which another thread made.
@test "README's example: a thread that waits for itself, with a state that another thread made and nothing runs under" {
    python_before 3.12 || return 0
    require "a static interpreter has no libpython" [ -e "$FIXTURES/readme_example" ]
    hang "$FIXTURES/readme_example"
    explains "==$pid== gilshim: stall: deadlock of a thread with itself, in *readme_example*: thread * waits for the GIL (PyGILState_Ensure, called by *readme_example*!library_a+0x*) that it holds itself (in *readme_example*!library_a+0x*)"
    has_line '*advice: *run-with-shim.sh repairs it, if it starts the program'
}

# Two libraries, two thread states of one thread (pybind11 issue 1276).
@test "a thread that waits for itself with its second state: the libraries on its stack, and both states" {
    python_before 3.12 || return 0
    hang "$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" held
    explains "*gilshim: stall: deadlock of a thread with itself, in libhandmade.so: *(PyEval_AcquireThread, called by libhandmade.so!handmade_begin+0x*) that it holds itself *"
    has_line '*suspects: *libhandmade.so, called by gilshapes.so'
    has_line '*states: thread * has 2 thread states: *(attached)*'
}

# One thread made the state, another has it attached and runs Python code under it: who holds the GIL is seen on the stacks, and
# that the library outside that code has attached the state.
@test "the walk-through's program: a state that one thread made and another has attached" {
    if ! python_before 3.12 || [ "$PY_BUILD" = debug ]; then return 0; fi # it does not hang, but dies
    "$ROOT/tests/demo/build" "$PYTHON" "$BATS_TEST_TMPDIR/modules"
    hang env PYTHONPATH="$BATS_TEST_TMPDIR/modules" "$PYTHON" -S "$ROOT/tests/demo/demo.py"
    explains '*gilshim: stall: deadlock of a thread with itself, in engine.so, which most likely attached a state: thread * waits for the GIL (PyGILState_Ensure, called by codec.so!encode+0x*) that it holds itself *'
    has_line '*suspects: *codec.so, called by engine.so'
}

# A process that has the shim: since when a thread waits, who attached what, and what both did last.
@test "with the shim in the process: its journal is read" {
    SHIM=$GILSHIM_LIB hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" lock_order
    explains '*stall: deadlock between libengine.so and libstore.so: * (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that *'
    has_line '*  waits: thread * for *.* s (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*)*'
    has_no_line '*, for at least *'
    python_before 3.13 || return 0
    unhang
    SHIM=$GILSHIM_LIB hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" itself
    explains '*stall: deadlock of a thread with itself, in libengine.so, which attached a state (PyEval_RestoreThread at libengine.so!engine_attach_again+0x*'
    has_line '*  journal: thread *, * s ago: PyEval_SaveThread by libengine.so!engine_attach_again+0x*, state 0x*'
    has_line '*  journal: thread *, * s ago: PyEval_RestoreThread by libengine.so!engine_attach_again+0x*, state 0x*'
}

# Interpreters with a GIL of their own, 3.12+.
@test "several GILs: the holder of the one that is waited for" {
    python_before 3.12 && return
    names gils_innocent 'libwest.so has the GIL of interpreter 2: thread * has waited for the GIL of interpreter 2 for at least * s (*libwest.so!side_attach+0x*); thread * holds it (in libwest.so!side_sleep+0x*)'
}

@test "several GILs: a deadlock across two of them" {
    python_before 3.12 && return
    names gils_joined "deadlock across GILs between lib*.so and lib*.so: thread * waits for the GIL of interpreter * (*lib*.so!side_attach+0x*) and thread *, which holds it, waits for a thread's end (in lib*.so!side_join+0x*), that of thread *, which waits for the GIL of interpreter * (*lib*.so!side_attach+0x*) and thread *, which holds it, waits for a thread's end (in lib*.so!side_join+0x*), that of the first thread"
    [ "$(grep -c 'stall: ' <<<"$output")" -eq 1 ] || told "it is told once, not for each GIL"
    names gils_locked "deadlock across GILs between lib*.so and lib*.so: *(in libeast.so!side_lock+0x*), which *"
    [ "$PY_VERSION" = 3.12 ] || return 0
    names gils_nested "deadlock across GILs between lib*.so and lib*.so: thread * waits for the GIL of interpreter * (*lib*.so!side_attach+0x*) and thread *, which holds it, waits for the GIL of interpreter * (*lib*.so!side_attach+0x*) that the first holds"
}

@test "JSON: the stall, and the process" {
    names lock_order '*has the mutex *'
    explains '*' -j
    without python3 -E -c '
import json, sys
stall, process = [json.loads(line) for line in sys.argv[1:3]]
assert stall["type"] == "stall" and process["type"] == "process"
assert stall["deadlock"] == "lock order" and stall["pid"] == process["pid"] == int(sys.argv[3])
waiter, holder = stall["waiter"], stall["holder"]
assert (waiter["library"], holder["library"]) == ("libengine.so", "libstore.so")
assert waiter["call"] == "PyGILState_Ensure" and holder["waits_for_tid"] == waiter["tid"]
assert any("libstore.so!store_read+" in frame for frame in holder["native_stack"])
assert any("in lock_order" in line for line in holder["python_stack"])
assert process["python"].startswith(sys.argv[4]) and process["holder_still"] > 0
assert [state["tid"] for state in process["states"] if state["attached"]] == [holder["tid"]]
' "${lines[0]}" "${lines[1]}" "$pid" "$PY_VERSION"
    is_status 0
}

@test "sixteen threads that share the GIL: no stall, and they go on" {
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" busy 16 $((5 * ${GILSHIM_TEST_PATIENCE:-1}))
    says 'all have begun'
    local look
    for ((look = 0; look < 4; look += ${GILSHIM_TEST_PATIENCE:-1})); do
        look_at "$pid" -s 0.2
        is_status 1
        [ "${#lines[@]}" -eq 1 ]
        has_line "==$pid== gilshim: no stall: CPython $PY_VERSION*, 17 threads: the GIL *"
    done
    wait "$program"
    grep -q 'all went on' "$BATS_TEST_TMPDIR/program"
}

# 2.7 does not count how often its GIL changes hands: what the holder has done shows that it lets go in between, also if it is
# the same thread at each look, below a library that could be at fault.
@test "2.7 in a program of another name, which runs Python code: the GIL moves" {
    python_before 3 || return 0
    cp "$(readlink -f "$PYTHON")" host
    hang ./host -S -c "import sys, thread, time
sys.setcheckinterval(100000)
thread.start_new_thread(time.sleep, (1000,))
sys.stdout.write('begun\\n'); sys.stdout.flush()
while True: pass"
    says begun
    look_at "$pid" -s 0.5
    is_status 1
    has_line "==$pid== gilshim: no stall: * the GIL was taken and released, in *"
}
