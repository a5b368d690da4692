#!/usr/bin/env bats
# orphan: a thread ends while it holds the GIL. Without the shim every other thread waits for ever. The programs are in
# tests/fixtures/life/orphan.c.

load ../helpers
load ../fixtures/life/life

orphans='orphan-return orphan-exit orphan-old-acquire orphan-attached orphan-two orphan-two-held orphan-moved
    orphan-in-destructor orphan-bare-gil'

setup_file() {
    local program
    for program in $orphans; do
        [ "$program" != orphan-bare-gil ] || python_before 3.12 || continue
        ahead bare module "$program"
    done
    ahead bare embed orphan-return
    ahead repair=all,-orphan module orphan-return
    ahead repair=none module orphan-exit
    ahead_end
}

given_back() {
    failed_ahead bare module "$1"
    works module "$1" "*repaired orphan: *; on tid [0-9]*"
}

@test "a pthread returns from Ensure without Release" {
    given_back orphan-return
    failed_ahead bare embed orphan-return
    works embed orphan-return
    failed_ahead repair=all,-orphan module orphan-return
}
@test "a pthread calls pthread_exit in Ensure" {
    given_back orphan-exit
    failed_ahead repair=none module orphan-exit
}
@test "a pthread returns from pybind11's acquire" { given_back orphan-old-acquire; }
@test "a pthread returns with a state of its own making attached" { given_back orphan-attached; }
@test "a pthread returns with its second state attached" { given_back orphan-two; }
@test "a pthread returns with one state over another" { given_back orphan-two-held; }
@test "a pthread returns with another thread's state attached" { given_back orphan-moved; }
@test "a destructor of a thread-specific value leaves the GIL held" { given_back orphan-in-destructor; }

# From 3.12 on there is no such thing: no state, no GIL.
@test "a pthread returns with the GIL held and no state" {
    if python_before 3.12; then
        given_back orphan-bare-gil
    else
        works_bare module orphan-bare-gil
        works module orphan-bare-gil
        has_no_line "*repaired orphan: *"
    fi
}

@test "what a later destructor gives back was no orphan" {
    works module none-released-in-destructor
    has_no_line "*repaired orphan: *"
}
