#!/usr/bin/env bats
# The shim and ld.so: its locks (shim/process/locks.h), and libraries that are closed (tests/fixtures/closing).

load helpers

FIXTURES=$ROOT/build/fixtures

@test "children that ask dlsym for a name of the API while other threads open libraries" {
    SHIM_OPTIONS='' LIMIT=240 works_with "$FIXTURES/dlsym-forks" "${GILSHIM_FORKS:-300}" libutil.so.1
    has_line "* children, 0 hung"
}

# Some of the signals come while the shim looks at what has been opened.
@test "a signal handler that forks while the shim looks for a libpython" {
    without "$FIXTURES/dlsym-signals" 1 libutil.so.1
    is_status 0
    SHIM_OPTIONS='' LIMIT=120 works_with "$FIXTURES/dlsym-signals" 5 libutil.so.1
    has_line "[1-9]* signals"
}

# The one way to meet an instruction between the taking of a lock and the note of who has it.
@test "a signal handler that forks at any instruction of a look, or of a fork" {
    local call
    require "the processor stops after each instruction by a flag: x86-64" test -x "$FIXTURES/dlsym-steps"
    for call in dlsym fork; do
        SHIM_OPTIONS='' LIMIT=120 works_with "$FIXTURES/dlsym-steps" "$call" libutil.so.1
        has_line "[1-9]* instructions"
    done
}

@test "the shim asks for no lock of ld.so's in a fork child" {
    local watch=$FIXTURES/libwatch-loader.so
    with_shim env LD_PRELOAD="$GILSHIM_LIB:$watch" "$FIXTURES/dlsym-forks" 20 libutil.so.1
    has_line "20 children, 0 hung"
    has_no_line "*called by the shim*"
}

# Programs that embed Python.
use_embedding() {
    use_python shared || use_python static
    require "needs an interpreter that can be embedded" [ -e "$FIXTURES/closing" ]
}

@test "a library that comes to lie where a closed one was is told of under its own name" {
    require "$NEEDS_KERNEL" has_kernel # which maps again where something was unmapped
    use_embedding
    SHIM_OPTIONS=verbosity=1:summary=1 works_with "$FIXTURES/closing" turns
    # Nothing would be shown if they lay apart.
    local good evil
    good=$(sed -n 's/^good at //p' <<<"$output")
    evil=$(sed -n 's/^evil at //p' <<<"$output")
    [ "$good" = "$evil" ] || told "good at $good, evil at $evil"
    has_line '*gilshim: repaired held: libgood.so: *by libgood.so!good+0x*'
    has_line '*gilshim: repaired held: libevil.so: *by libevil.so!evil+0x*'
    has_line '*gilshim:* 1  libgood.so!*'
    has_line '*gilshim:* 10  libevil.so!*'
}

@test "a fork after libpython has been closed" {
    use_python shared || require "needs a shared libpython" false
    local libpython option
    libpython=$(ldd "$FIXTURES/paint" | sed -n 's/.*libpython[^ ]* => \([^ ]*\) .*/\1/p')
    export PYTHONHOME
    PYTHONHOME=$("$PYTHON" -c 'import sys; print(sys.prefix)')
    without "$ROOT/build/fixtures/forked" "$libpython"
    is_status 0
    has_line done
    for option in mode=repair mode=observe verbosity=1; do
        SHIM_OPTIONS=$option works_with "$ROOT/build/fixtures/forked" "$libpython"
        has_line done
    done
}

# The thread that writes the timeline looks up the names of what it finds, also of a library that is being closed.
@test "libraries that are closed while the names in them are looked up" {
    use_embedding
    cd "$BATS_TEST_TMPDIR" || return
    local round
    for round in 1 2 3; do
        SHIM_OPTIONS=timeline=trace works_with "$FIXTURES/closing" often crowded 150 || told "round $round" || return
        has_line "done"
    done
    grep -q 'crowded' trace.*
}

# The threads that look up names bind the libpython that others open, and close at once.
@test "a host that scans its plugins on several threads, one of them a libpython" {
    use_python shared
    local libpython SHIM_OPTIONS
    libpython=$(ldd "$PYTHON" | awk '/libpython/ { print $3; exit }')
    without "$ROOT/build/fixtures/scan" 2 "$libpython" libutil.so.1 libm.so.6
    is_status 0
    for SHIM_OPTIONS in verbosity=0 check=calls; do
        works_with "$ROOT/build/fixtures/scan" 8 "$libpython" libutil.so.1 libm.so.6
    done
}

@test "a thread that asks whether there is a Python, while another one opens and closes libpython" {
    use_python shared
    local libpython SHIM_OPTIONS
    libpython=$(ldd "$PYTHON" | awk '/libpython/ { print $3; exit }')
    without "$ROOT/build/fixtures/ask" 1 "$libpython"
    is_status 0
    for SHIM_OPTIONS in verbosity=0 check=calls; do
        works_with "$ROOT/build/fixtures/ask" 5 "$libpython"
    done
}
