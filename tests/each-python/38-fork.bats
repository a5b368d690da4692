#!/usr/bin/env bats
# Forks in the middle of blocks, and in programs with many threads. In the programs (tests/fixtures/life/fork.c), child and parent
# both end their blocks and exit normally; the parent checks the child's status.

load ../helpers
load ../fixtures/life/life

duplicates='fork-duplicate fork-exec fork-vfork fork-by-hand fork-in-subinterpreter'

setup_file() {
    local program
    if python_before 3.12; then
        for program in $duplicates; do ahead bare module "$program"; done
    fi
    ahead bare module fork-held
    python_before 3.13 || ahead bare module fork-duplicate
    ahead_end
}

# What the shim has nothing to do with.
same() {
    works_bare module "$1"
    works module "$1"
    works embed "$1"
}
# A second state of a thread, or a sub-interpreter's: a repair up to 3.11.
repaired_before_3_12() {
    if python_before 3.12; then failed_ahead bare module "$1"; else works_bare module "$1"; fi
    works module "$1"
    works embed "$1"
}

@test "os.fork, plain blocks after it" { same fork-plain; }
@test "os.fork in pybind11's acquire in Ensure in pybind11's release" { same fork-mixed; }
@test "os.fork on a pthread, which is all that the child has" { same fork-foreign; }
@test "daemonising: two forks in a block" { same fork-daemon; }
@test "os.fork in a program with 16 busy threads" { same fork-busy; }

# PyGILState_Ensure makes a state under a lock of CPython's, without the GIL; in the child the lock stays as it was. Nothing is wrong with
# the program.
@test "os.fork while other threads enter and leave: from 3.8 to 3.11 CPython's own child may hang" {
    require "$NEEDS_KERNEL" has_kernel # qemu's own locks stay taken in a child
    local children=400 crowd=("$PYTHON" -S "$ROOT/tests/fixtures/forks/crowd.py" "$FIXTURES")
    if ! python_before 3.8 && python_before 3.12; then
        LIMIT=120 without "${crowd[@]}" 20000
        is_status 1
        has_line '* children, 1 hung'
    fi
    ! is_free_threaded || children=60 # each waits there for all threads to pause
    works_with "${crowd[@]}" $children
    has_line "$children children, 0 hung"
}

@test "--check says whether this Python needs the repair of that" {
    local says='available (not needed: this Python handles it)'
    ! python_before 3.7 || says="not available: the place of this CPython's lock on its thread states is not known"
    python_before 3.8 || ! python_before 3.12 || says=available
    limited 60 "$ROOT/run-with-shim.sh" --check "$PYTHON"
    has_line "gilshim: repair fork: $says"
}

@test "os.fork while another thread is in the middle of PyThreadState_Delete: the child's own state stays its own" {
    if python_before 3.8 || ! python_before 3.12; then return 0; fi
    require "$NEEDS_KERNEL" has_kernel
    local crowd=("$PYTHON" -S "$ROOT/tests/fixtures/forks/crowd.py" "$FIXTURES")
    without "${crowd[@]}" 100 halve
    is_status 1
    SHIM_OPTIONS=mode=strict with_shim "${crowd[@]}" 100 halve
    is_status 1 # a child that executes a program would take no harm: it is warned of, not ended
    has_line '==*== gilshim: warning: *: by *!PyOS_AfterFork_Child+0x* on tid *: another thread *'
    has_line '* children, 1 hung'
    SHIM_OPTIONS=verbosity=1 works_with "${crowd[@]}" 100 halve
    has_line '==*== gilshim: repaired fork: *: by *!PyOS_AfterFork_Child+0x* on tid *: another thread *'
    has_line '100 children, 0 hung'
}

# In the child of a fork with a second state attached, the script's own state is none for CPython's record of who runs the
# script (interp->threads.main), and debug builds from 3.14 on assert at the script's end that it is.
script_ends_well() { [ "$PY_BUILD" != debug ] || python_before 3.14; }
works_in_script() {
    local command
    if script_ends_well; then
        works module "$1"
    else
        life_command module "$1"
        with_shim "${command[@]}"
        has_line "*_PyInterpreterState_SetNotRunningMain: Assertion *"
    fi
}

# From 3.7 on CPython frees the first state in the child, to which the thread goes back: 3.12 survives that by luck.
@test "os.fork with a second state attached, the first saved" {
    if python_before 3.12 || ! python_before 3.13; then failed_ahead bare module fork-duplicate; fi
    works_in_script fork-duplicate
    works embed fork-duplicate
}
@test "os.fork with a second state attached over the first" {
    failed_ahead bare module fork-held
    works_in_script fork-held
    works embed fork-held
}
# What is freed is overwritten. Up to 3.9.2, CPython itself dies of a plain os.fork under this allocator.
@test "what the child goes back to has not been freed" {
    ! python_before 3.9 || return 0
    local command LIMIT=30 program
    if python_before 3.10; then
        life_command module fork-plain
        without env PYTHONMALLOC=debug "${command[@]}"
        [ "$status" -eq 0 ] || return 0
    fi
    for program in fork-plain fork-duplicate fork-held; do
        [ "$program" = fork-plain ] || script_ends_well || continue
        life_command module "$program"
        with_shim env PYTHONMALLOC=debug "${command[@]}"
        is_status 0
        has_line "ok*"
    done
}

@test "fork in C, in a sub-interpreter" { repaired_before_3_12 fork-in-subinterpreter; }
@test "fork and exec in a block" { repaired_before_3_12 fork-exec; }
@test "vfork and exec in a block" { repaired_before_3_12 fork-vfork; }
@test "PyOS_AfterFork called by hand in a process that has not forked" { repaired_before_3_12 fork-by-hand; }
