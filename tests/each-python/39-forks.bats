#!/usr/bin/env bats
# Forks at any time: threads open and close libraries and mix APIs while others fork, and the children exec, call the loader,
# open libraries, start threads, or go on with Python (tests/fixtures/forks). None may hang: nobody in a child releases the locks
# of ld.so that the shim's own threads and calls hold at the fork. The long form: GILSHIM_FORKS=20000.

load ../helpers

@test "children of a process whose other threads open libraries and mix APIs" {
    SHIM_OPTIONS=history=64:summary=1:log_path=$BATS_TEST_TMPDIR/log LIMIT=${GILSHIM_FORKS_LIMIT:-240} works_with "$PYTHON" -S \
        "$ROOT/tests/fixtures/forks/forks.py" "$FIXTURES" "${GILSHIM_FORKS:-120}"
    has_line "* children, 0 hung, 0 failed"
}

# libwatch-loader.so kills who calls dl_iterate_phdr, dladdr or malloc from the shim in a child.
@test "the shim asks for no lock of ld.so's or malloc's in a child" {
    local watch=$ROOT/build/fixtures/libwatch-loader.so
    SHIM_OPTIONS=history=64:summary=1:log_path=$BATS_TEST_TMPDIR/log with_shim env LD_PRELOAD="$GILSHIM_LIB:$watch" "$PYTHON" -S \
        "$ROOT/tests/fixtures/forks/forks.py" "$FIXTURES" 24
    [ "$status" -eq 0 ]
    has_line "12 children, 0 hung, 0 failed"
    has_no_line "*called by the shim*"
}
