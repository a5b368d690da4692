#!/usr/bin/env bats
# Generated programs of GIL-API blocks, checked at every step (tests/nesting/run, tests/fixtures/nesting). With the shim all of them
# must succeed, so nothing that works without it can fail with it. The long form: `make nest`.

load ../helpers

# Not with_shim: it is the players that get the shim, not the driver.
nest() {
    LIMIT=300 without "$ROOT/tests/nesting/run" --tag "$PY_TAG" --lib "$GILSHIM_LIB" --failures 5 "$@"
}

all_survive() {
    nest --shim "$@"
    is_status 0
    has_line "$PY_TAG *with the shim 100.0% *"
}

# pybind11 itself is in the random ones.
@test "all chains of two blocks" { all_survive --all --depth 2 --without oldP,relP,disP,movedP,keepP; }

@test "programs that failed once" {
    all_survive --file "$ROOT/tests/nesting/regressions.txt"
    all_survive --file "$ROOT/tests/nesting/regressions.txt" --one-object
}

@test "random programs, to depth 8" { all_survive --random 200 --size 14 --seed 2019; }

@test "random programs in processes of their own" { all_survive --random 30 --size 10 --seed 1276 --batch 1; }

# Who calls tells nothing then.
@test "random programs, all blocks in one shared object" { all_survive --random 100 --one-object --seed 2888; }

@test "random programs under the debug allocator" {
    all_survive --random 80 --seed 4 --env PYTHONMALLOC=debug --env PYTHONDEVMODE=1
}

@test "random programs, in a build without the GIL that has it switched on, and off" {
    is_free_threaded || return 0
    PYTHON_GIL=1 all_survive --random 150 --size 14 --seed 1319
    PYTHON_GIL=0 all_survive --random 150 --size 14 --seed 1320
    PYTHON_GIL=1 all_survive --random 60 --one-object --seed 1321
}

# Interpreters with a GIL of their own. tests/README.md says what is promised.
has_several() { python_from 3.12; }

# Nothing is mixed in these: they are what CPython can do by itself.
@test "several GILs: all chains of two blocks that CPython itself can do" {
    has_several || return 0
    nest --gils --all --depth 2 --only gil,gilaway,swapmain,swapeast,swapwest,release,detach,ensure,pthread,py
    is_status 0
    has_line "$PY_TAG * bare 100.0% *with the shim 100.0% *"
}

@test "several GILs: random programs, to depth 8" {
    has_several || return 0
    all_survive --gils --random 150 --size 14 --seed 2019
    all_survive --gils --random 50 --one-object --seed 2888
}

@test "several GILs: nothing is wrong with what CPython itself can do" {
    has_several || return 0
    all_survive --gils --all --depth 3 --sample 60 --shim-options mode=observe:check=all \
        --only gil,gilaway,swapmain,swapeast,swapwest,release,detach,ensure,pthread,py
}

@test "several GILs: without the shim an Ensure goes to another interpreter, and an attach over a state dies" {
    has_several || return 0
    nest --bare --program 'main: swapeast[release[newwest ensure]]'
    has_line '*PyGILState_Ensure chose another interpreter*'
    nest --bare --program 'main: swapeast[newwest]'
    has_line '*non-NULL old thread state*'
}

@test "without the shim many of them are lost" {
    nest --bare --random 25 --tree-depth 4 --seed 2019
    is_status 0
    has_line "$PY_TAG *bare*% *(*)*"
    has_no_line "*bare 100.0%*"
}

@test "the judge notices: with the repairs switched off the same programs are lost" {
    nest --shim --shim-options repair=none --random 25 --tree-depth 4 --seed 2019 --no-shrink
    is_status 1
    has_no_line "*with the shim 100.0%*"
}
