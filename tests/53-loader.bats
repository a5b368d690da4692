#!/usr/bin/env bats
# The shim and ld.so's locks, without Python (shim/locks.h).

load helpers

FIXTURES=$ROOT/build/fixtures

@test "children that ask dlsym for a name of the API while other threads open libraries" {
    SHIM_OPTIONS='' LIMIT=240 works_with "$FIXTURES/dlsym-forks" "${GILSHIM_FORKS:-300}" libutil.so.1
    has_line "* children, 0 hung"
}

@test "the shim asks for no lock of ld.so's in a fork child" {
    local watch=$FIXTURES/libwatch-loader.so
    with_shim env LD_PRELOAD="$GILSHIM_LIB:$watch" "$FIXTURES/dlsym-forks" 20 libutil.so.1
    has_line "20 children, 0 hung"
    has_no_line "*called by the shim*"
}
