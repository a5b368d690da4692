#!/usr/bin/env bats
# A program that the shim can't serve runs as without it: silently, or with verbosity=1 with one clear line.

load helpers

fixtures=$ROOT/build/fixtures

# A python to try options with: the first in the list.
a_python() {
    local tag
    tag=$(sed -n 1p <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}" | cut -f 1)
    echo "$fixtures/$tag/python"
}

# Runs CMD bare, with the shim, and with verbosity=1: same status, same output but for one line of the shim's at most.
goes_on_as_bare() {
    without "$@"
    local bare_status=$status bare=$output
    with_shim "$@"
    [ "$status" = "$bare_status" ] || told "status without the shim: $bare_status, of: $*"
    [ "$output" = "$bare" ] || told "output without the shim: $bare"

    SHIM_OPTIONS=verbosity=1 with_shim "$@"
    [ "$status" = "$bare_status" ] || told "status without the shim: $bare_status, of: $*"
    [ "$(count_lines '*== gilshim: *')" -le 1 ] || told "more than one line of the shim's own"
    [ "$(grep -v '== gilshim: ' <<<"$output" || true)" = "$bare" ] || told "output without the shim: $bare"
}

# Runs CMD with SHIM_OPTIONS: ends well, its own output is DONE, and exactly one line is the shim's and matches PATTERN.
one_complaint() {
    local pattern=$1
    shift
    works_with "$@"
    has_line DONE
    [ "$(count_lines '*== gilshim: *')" = 1 ] || told "expected one line of the shim's own"
    has_line "$pattern"
}

# --- libraries --------------------------------------------------------------------------------------------------------

@test "a libpython with one function of the API, linked" {
    goes_on_as_bare "$fixtures/bind_part"
    has_line 101
}

@test "a libpython with one function of the API, opened late" {
    goes_on_as_bare "$fixtures/bind_open" "$fixtures/libpython3.99.so.1.0" PyGILState_Ensure
    has_line 102
}

@test "a libpython without any of the API" {
    goes_on_as_bare "$fixtures/bind_open" "$fixtures/libpython3.98.so.1.0" something_else
    has_line 98
}

@test "a libpython that is not there" {
    goes_on_as_bare "$fixtures/bind_open" "$fixtures/libpython3.97.so.1.0" PyGILState_Ensure
    is_status 1
}

@test "PyPy, whose API has other names" {
    goes_on_as_bare "$fixtures/pypy3"
    has_line "0 1"
}

@test "a program that contains CPython and exports none of it" {
    local program found=0
    for program in "$fixtures"/*/bind_hidden; do
        [ -e "$program" ] || continue
        found=1
        goes_on_as_bare "$program" plain
        has_line "done"
        fails_without "$program" held
        fails_with "$program" held # it can't be bound: no harm, no help
    done
    require "no static interpreter with an archive" [ "$found" = 1 ]
}

@test "a program that contains CPython and exports one function of it" {
    local program found=0
    for program in "$fixtures"/*/bind_partial; do
        [ -e "$program" ] || continue
        found=1
        goes_on_as_bare "$program" plain
        has_line "done"
    done
    require "no static interpreter with an archive" [ "$found" = 1 ]
}

@test "a statically linked program" {
    require "no static libc" cc -static -o "$BATS_TEST_TMPDIR/static" -xc - <<<'int main(void) { return 7; }'
    goes_on_as_bare "$BATS_TEST_TMPDIR/static"
    is_status 7
}

# --- options ----------------------------------------------------------------------------------------------------------

@test "an unknown key" {
    SHIM_OPTIONS=nosuchkey=1 one_complaint "*gilshim*nosuchkey*" "$(a_python)" -S -c 'print("DONE")'
}

@test "a bad value" {
    local pair
    for pair in mode=sideways verbosity=loud verbosity=7 repair=held,nosuchrepair verbosity; do
        SHIM_OPTIONS=$pair one_complaint "*gilshim*${pair%%=*}*" "$(a_python)" -S -c 'print("DONE")'
    done
}

@test "a wrong pair does not spoil the others" {
    SHIM_OPTIONS="nosuchkey=1:mode=off" one_complaint "*gilshim*nosuchkey*" "$(a_python)" -S -c 'print("DONE")'
}

@test "options that are hardly text" {
    local options
    for options in ":" "=" "::::=:=:" "=1" "mode" "mode=" "$(printf 'x%.0s' $(seq 5000))" "$(printf 'a=b:%.0s' $(seq 1000))" $'\xff\xfe=\x01'; do
        SHIM_OPTIONS=$options works_with "$(a_python)" -S -c 'print("DONE")'
        has_line DONE
    done
}

@test "an empty string of options is silent" {
    SHIM_OPTIONS="" works_with "$(a_python)" -S -c 'print("DONE")'
    [ "$output" = DONE ]
}

@test "a log path that can't be written: said once on stderr, and the program runs" {
    local path
    for path in /no/such/folder/log /proc/self/cmdline/log; do
        SHIM_OPTIONS=verbosity=2:log_path=$path works_with "$(a_python)" -S -c 'print("DONE")'
        has_line DONE
        [ "$(count_lines "*gilshim*$path*")" = 1 ] || told "expected one line that names the path"
    done
}

@test "a log path that nothing is written to leaves no trace" {
    SHIM_OPTIONS=log_path=$BATS_TEST_TMPDIR/log works_with "$(a_python)" -S -c 'print("DONE")'
    [ "$output" = DONE ]
    [ -z "$(cat "$BATS_TEST_TMPDIR"/log* 2>/dev/null)" ]
}

@test "a log file that is a symbolic link is not followed" {
    echo precious >"$BATS_TEST_TMPDIR/precious"
    # shellcheck disable=SC2016 # for the inner shell, whose process number is python's
    local script='ln -s precious "$1.$$" && exec "$2" -S -c "print(\"DONE\")"'
    SHIM_OPTIONS=verbosity=2:log_path=$BATS_TEST_TMPDIR/link works_with sh -c "$script" sh "$BATS_TEST_TMPDIR/link" "$(a_python)"
    has_line DONE
    [ "$(cat "$BATS_TEST_TMPDIR/precious")" = precious ]
}

@test "stderr is closed" {
    # shellcheck disable=SC2016 # for the inner shell
    SHIM_OPTIONS=verbosity=2 works_with sh -c 'exec "$1" -S -c "print(\"DONE\")" 2>&-' sh "$(a_python)"
    has_line DONE
}
