#!/usr/bin/env bats
# check=calls finds nothing in healthy programs, and changes nothing in them.

load ../helpers

healthy=$ROOT/tests/fixtures/healthy/healthy.py

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# What it wrote, its children, too.
logged() { cat log.* 2>/dev/null; }

# no_alarm [PART]: the same output as without the shim, and not a word.
no_alarm() {
    without "$PYTHON" -W ignore "$healthy" "$@"
    require "this interpreter has no $1" [ "$status" -ne 3 ]
    is_status 0
    local bare=$output
    SHIM_OPTIONS=check=calls:log_path=$PWD/log with_shim "$PYTHON" -W ignore "$healthy" "$@"
    is_status 0
    [ "$output" = "$bare" ] || told "without the shim: $bare"
    output=$(logged)
    is_silent
}

# All of it, if nothing is checked, shows nothing. libc's bsearch calls PyCallable_Check(NULL, ...), which returns 0, while ctypes
# has released the GIL.
call_without_the_gil() {
    SHIM_OPTIONS=$1 works_with "$PYTHON" -S -c 'import ctypes
ctypes.CDLL(None).bsearch(None, b"found", 1, 1, ctypes.CDLL(None).PyCallable_Check)'
}
@test "here a call without the GIL is reported" {
    call_without_the_gil check=calls
    has_line '*gilshim: GIL error: no_gil: libc.so.6: PyCallable_Check by libc.so.6!*'
}

# The installed suppressions have no line that is wrong, or too wide.
@test "a suppression may name the function that is called; gilshim.supp does not leave out this one" {
    echo 'no_gil:^PyCallable_Check by libc.so.6!' >rules
    call_without_the_gil "check=calls:suppressions=$PWD/rules"
    has_no_line '*GIL error*'
    echo 'no_gil:^PyCallable_Check by libpython' >rules
    call_without_the_gil "check=calls:suppressions=$PWD/rules"
    has_line '*GIL error*'
    call_without_the_gil "check=calls:suppressions=$ROOT/shim/dist/gilshim.supp"
    has_line '*GIL error*'
    has_no_line '*warning*'
}

@test "no alarm: threads, call-backs, processes, fork, profiles, and a thread that is alive at the end" { no_alarm; }
@test "no alarm: NumPy" { no_alarm numpy; }
@test "no alarm: PyGObject" { no_alarm gi; }
