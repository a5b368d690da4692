#!/usr/bin/env bats
# Generated programs of GIL-API blocks, each judged at every step (tests/nesting/run, tests/fixtures/nesting). With the
# shim all of them have to survive, so that nothing that works without it can fail with it. The long form: `make nest`.

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

# Deep inside others, a state that is kept by its counter and a ReleaseThread that is a release block are not always told
# apart from what they look like (README, limits): a few in a thousand programs. Here they are in the chains of two only.
random_survive() { all_survive --without keepA,keepB,detach --random "$@"; }

@test "all chains of two blocks" { all_survive --all --depth 2; }

@test "random programs, to depth 8" { random_survive 300 --size 14 --seed 2019; }

@test "random programs in processes of their own" { random_survive 60 --size 10 --seed 1276 --batch 1; }

# PyEval_RestoreThread over a held state needs to know whose SaveThread it is.
@test "random programs, all blocks in one shared object" { all_survive --without keepA,keepB,detach,own --one-object --random 150 --seed 2888; }

@test "random programs under the debug allocator" {
    random_survive 100 --seed 4 --env PYTHONMALLOC=debug --env PYTHONDEVMODE=1
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
