#!/usr/bin/env bats
# README's first example, extracted from README and compiled (tests/fixtures/readme), does what README says.

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
