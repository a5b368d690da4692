#!/usr/bin/env bats
# The shim's short ways do not get longer unnoticed: callgrind counts the instructions of a pair of calls, which are compared with
# tests/bench/instructions.baseline. Times can't be asserted on a shared machine.

load helpers

# Prints one of the interpreters here whose instructions are in the baseline.
interpreter_on_record() {
    printf '%s\n' "${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}" |
        awk 'NR == FNR { is_on_record[$2] = !/^#/; next } is_on_record[$1] { print $1; exit }' \
            "$ROOT/tests/bench/instructions.baseline" -
}

# no_longer_than_they_were COMPILER
no_longer_than_they_were() {
    local compiler=$1 key
    require "no $compiler here" command -v "$compiler"
    key=$compiler-$("$compiler" -dumpversion | cut -d . -f 1)
    require "no instructions are on record for this compiler" grep -q "^$key " "$ROOT/tests/bench/instructions.baseline"
    require "no valgrind with its headers here" [ -e /usr/include/valgrind/callgrind.h ]
    require "none of the interpreters here is on record" [ -n "$(interpreter_on_record)" ]
    make -s -C "$ROOT" WERROR=1 CC="$compiler" CFLAGS='-O2 -g' BUILD="build/ci-$compiler" >&2
    LIMIT=300 without "$ROOT/tests/bench/instructions" --check "$key" "$ROOT/build/ci-$compiler/libgilshim.so"
    is_status 0
    has_line '* compared, 0 have grown by more than 2%'
}

@test "gcc: the short ways take as many instructions as they did" {
    no_longer_than_they_were gcc
}

@test "clang: the short ways take as many instructions as they did" {
    no_longer_than_they_were clang
}

@test "a shim that has grown is noticed" {
    local interpreter
    require "no valgrind with its headers here" [ -e /usr/include/valgrind/callgrind.h ]
    interpreter=$(interpreter_on_record)
    require "none of the interpreters here is on record" [ -n "$interpreter" ]
    # Recording takes the long way for each call.
    LIMIT=100 without env GILSHIM_BENCH_OPTIONS=history=32 \
        "$ROOT/tests/bench/instructions" -p "$interpreter" --check "gcc-12" "$GILSHIM_LIB"
    is_status 1
    has_line 'not ok * nested *'
}
