#!/usr/bin/env bats
# The examples of README.md and of shim/doc/sanitizer.md, extracted and compiled (tests/fixtures/readme), do what these pages say.

load ../helpers

setup() {
    example=$FIXTURES/readme_example
    require "a static interpreter has no libpython" [ -e "$example" ]
}

@test "README's example: up to 3.11 it hangs; with the shim it ends" {
    if python_before 3.12; then
        fails_without "$example"
        is_status 137
    elif [ "$PY_BUILD" = release ]; then
        without "$example" # they run it, README says
        is_status 0
        has_line 'library B has run Python'
    fi
    SHIM_OPTIONS=verbosity=1 works_with "$example"
    has_line 'library B has run Python'
    ! python_before 3.12 || has_line '*gilshim: repaired moved: *PyEval_AcquireThread by *library_a+0x*'
}

# The first line of the report is the page's, but for numbers.
@test "the page's example of the GIL sanitizer: bare it ends well by luck, up to 3.11, and the check names the call" {
    require "a static libpython's own program is not seen" [ "$PY_KIND" = shared ]
    example=$FIXTURES/readme/worker
    without "$example"
    if [ "$PY_BUILD" = debug ]; then
        [ "$status" -gt 128 ]
    elif python_before 3.12; then
        is_status 0
        has_line '1 result'
    else
        is_status 139
    fi
    local bare=$status shown
    shown=$(sed -n '/-c calls .\/worker$/,/(one line)$/p' "$ROOT/shim/doc/sanitizer.md" | tail -n +2 | sed 's/^ *//; s/ *(one line)$//' | paste -sd' ')
    [[ $shown = *'GIL error: no_gil: worker: PyList_Append by '* ]] || told "shim/doc/sanitizer.md does not show it: $shown"
    SHIM_OPTIONS=check=calls:history=8 with_shim "$example"
    is_status "$bare"
    has_line "$(sed 's/==[0-9]*==/==*==/; s/0x[0-9a-f]*/0x*/; s/tid [0-9]*/tid */' <<<"$shown")"
    has_line '*gilshim:   native stack:'
    has_line '*gilshim:     #0 worker!worker+0x*'
    has_line '*gilshim:   advice: *'
}
