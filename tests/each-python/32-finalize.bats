#!/usr/bin/env bats
# finalize: threads that use the API during the interpreter's finalization or after it. The programs, in tests/fixtures/life/late.c,
# determine themselves whether the late thread has ended or was parked, as by 3.14.

load ../helpers
load ../fixtures/life/life

# What is freed is overwritten at once: whoever uses it, fails.
export GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.perturb=165

dying='during-destructor during-catch-all during-noexcept during-destructor-joined'
scripted='script-ensure script-ensure-known script-new script-destructor'
late='after-destructor after-ensure-fresh after-ensure-known after-acquire after-ensure-again'

# From 3.8 to 3.11 CPython minds that it is a second state of its thread; a debug build does so before, too.
own_new_works() {
    ! python_before 3.12 || { python_before 3.8 && [ "$PY_BUILD" = release ]; }
}

# 3.14 parks late threads by itself.
python_parks() { ! python_before 3.14; }
# From 3.15 on also those that come when it is over, by Ensure.
python_parks_after() { ! python_before 3.15 && case $1 in after-ensure-*) ;; *) false ;; esac; }
parks_as_bare() {
    local command how
    life_command "$1" "$2" || return 0
    for how in without with_shim; do
        LIMIT=5 "$how" "${command[@]}"
        has_line "the late thread is parked"
    done
}

setup_file() {
    local program
    if ! python_before 3.0 && ! python_parks; then
        for program in $dying; do ahead bare module "$program"; done
        ahead repair=all,-finalize module during-destructor
        ahead repair=none module during-catch-all
    fi
    for program in $scripted; do ahead bare module "$program"; done
    python_before 3.0 || ahead repair=all,-finalize module script-ensure
    for program in $late; do ahead bare embed "$program"; done
    python_parks_after after-ensure-fresh || ahead repair=all,-finalize embed after-ensure-fresh
    if python_before 3.9 || python_parks; then ahead bare embed after-plain; fi
    ahead bare embed ten-lives
    if ! python_before 3.8; then
        for program in own-existing own-deleted own-acquire; do ahead bare module "$program"; done
        ahead repair=all,-finalize module own-existing
    fi
    own_new_works || ahead bare module own-new
    ahead_end
}

after_meeting() { if python_parks; then echo parked; else echo ended; fi; }

# 2.7 lets the thread in while the interpreter is being taken apart; nobody is ended there, and nothing is repaired.
meets() {
    local command
    if python_before 3.0; then
        life_command module "$1"
        without "${command[@]}"
        is_status 3
        with_shim "${command[@]}"
        is_status 3
        return 0
    fi
    if python_parks; then works_bare module "$1"; else failed_ahead bare module "$1"; fi
    works module "$1" "the late thread is $(after_meeting)"
    works embed "$1" "the late thread is $(after_meeting)"
    python_parks || has_line "*repaired finalize: *libgillife.so*"
}

@test "during: a destructor takes the GIL back" {
    meets during-destructor
    python_before 3.0 || python_parks || failed_ahead repair=all,-finalize module during-destructor
}
@test "during: under catch (...)" {
    meets during-catch-all
    python_before 3.0 || python_parks || failed_ahead repair=none module during-catch-all
}
@test "during: in a noexcept function" { meets during-noexcept; }

@test "during: a destructor takes the GIL back, and an exit handler joins the thread" {
    python_parks || {
        meets during-destructor-joined
        python_before 3.0 || has_line "the late thread is joined"
    }
}

# After the end of `python script.py`, which is CPython's own affair: in the C library's exit handlers.
after_script() {
    if python_before 3.0 && [ "$1" = script-new ]; then :; # 2.7 goes on with what is left
    elif { [ "$1" = script-destructor ] && python_parks; } || python_parks_after "${1/script/after}"; then :; # then the join hangs
    else
        failed_ahead bare module "$1"
    fi
    works module "$1" "the late thread is ended"
    has_line "*repaired finalize: *lib*.so*"
}
@test "after a script: Ensure on a thread that Python never saw" {
    after_script script-ensure
    python_before 3.0 || failed_ahead repair=all,-finalize module script-ensure
}
@test "after a script: Ensure on a thread that used Python before" { after_script script-ensure-known; }
@test "after a script: a state is made" { after_script script-new; }
@test "after a script: a destructor takes the GIL back" { after_script script-destructor; }

# A thread that nothing keeps from ending ends as ever: somebody may join it.
ends() {
    ! python_before 3.0 || return 0
    if python_parks; then
        parks_as_bare "$1" "$2"
        return
    fi
    works_bare "$1" "$2"
    works "$1" "$2" "the late thread is ended"
    has_no_line "*repaired finalize: *"
}
@test "during: C code ends" { ends module during-plain; }
@test "during: C++ code without objects ends" { ends module during-plain-cxx; }
@test "during: a std::thread ends and is joined" { ends embed during-cxx-thread; }

after() {
    if { [ "$1" = after-destructor ] && python_parks; } || python_parks_after "$1"; then
        works_bare embed "$1"
    else
        failed_ahead bare embed "$1"
    fi
    works embed "$1" "the late thread is ended"
    python_parks || [ ! -x "$FIXTURES/life-embed" ] || has_line "*repaired finalize: *lib*.so*"
}
@test "after: a destructor takes the GIL back" { after after-destructor; }
@test "after: Ensure on a thread that Python never saw" {
    after after-ensure-fresh
    python_parks_after after-ensure-fresh || failed_ahead repair=all,-finalize embed after-ensure-fresh
}
@test "after: Ensure on a thread that used Python before" { after after-ensure-known; }
@test "after: pybind11's acquire" { after after-acquire; }
@test "after: a later life is not disturbed by a thread that came late" { after after-ensure-again; }
@test "after: C code ends" {
    if python_before 3.9 || python_parks; then failed_ahead bare embed after-plain; else works_bare embed after-plain; fi
    works embed after-plain "the late thread is ended"
}

@test "after: on the main thread CPython fails as ever" {
    local command bare
    life_command embed after-ensure-main || return 0
    LIMIT=10 without "${command[@]}"
    bare=$status
    [ "$bare" -ne 0 ]
    LIMIT=10 with_shim "${command[@]}"
    is_status "$bare"
}

# The finalizing thread attaches another state, in a destructor. 3.8 to 3.11 end it then, with status 0, in the middle;
# from 3.9 on a state that existed before has been freed. 2.7 to 3.7 do neither.
own() {
    python_before 3.8 || failed_ahead bare module "$1"
    works module "$1"
    works embed "$1"
    has_no_line "*FATAL*"
}
@test "the finalizing thread attaches a state that existed before" {
    own own-existing
    python_before 3.8 || failed_ahead repair=all,-finalize module own-existing
}
@test "the finalizing thread attaches a state that existed before, and deletes it" { own own-deleted; }
@test "the finalizing thread makes a state and attaches it" {
    if own_new_works; then works_bare module own-new; else failed_ahead bare module own-new; fi
    works module own-new
    works embed own-new
}
@test "the finalizing thread acquires as pybind11 does, with a kept state under the key" { own own-acquire; }

@test "ten lives of the interpreter, with blocks of all kinds in each, and a thread that sees them all" {
    failed_ahead bare embed ten-lives
    works embed ten-lives
}

# ---- told where nothing is repaired ----------------------------------------------------------------------------------

@test "during: a native thread that comes back is told, and that ending it would be repaired" {
    local command options
    life_command module during-plain
    for options in mode=observe repair=none:history=8; do
        SHIM_OPTIONS=$options LIMIT=20 with_shim "${command[@]}"
        has_line "==*== gilshim: warning: lib*.so: PyEval_RestoreThread by lib*.so!*+0x* on tid [0-9]* *: a call that attaches while Python is being finalized*"
    done
    # Threads of CPython's own are ended so as they are meant to be.
    SHIM_OPTIONS=mode=observe:exitcode=9 works_with "$PYTHON" -S -c "
import threading, zlib
def work():
    while True: zlib.compress(b'x' * 100000)
for i in range(3):
    thread = threading.Thread(target=work)
    thread.daemon = True
    thread.start()"
    is_silent
    python_before 3.0 || ! python_before 3.14 || [ "$PY_KIND" = static ] || {
        life_command module during-destructor
        SHIM_OPTIONS=mode=observe LIMIT=20 with_shim "${command[@]}"
        has_line "==*== gilshim: would repair finalize: *lib*.so!*"
    }
}
