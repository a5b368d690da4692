# Loaded by every bats file: `load helpers` (in tests/) or `load ../helpers` (in tests/each-python/).
#
#   without CMD...        runs CMD bare
#   with_shim CMD...      runs CMD with the shim preloaded and GILSHIM_OPTIONS=$SHIM_OPTIONS
#   fails_without CMD...  CMD, bare, hangs or dies (else the test fails)
#   works_with CMD...     CMD, with the shim, ends with status 0
#   fails_with CMD...     CMD, with the shim and these SHIM_OPTIONS, hangs or dies all the same
#   require REASON CMD... skips the test with REASON unless CMD succeeds: the only way to skip
#
# The first two set $status, $output and $lines as bats' `run` does. $status is 137 where the time limit struck. Nothing
# runs without one: LIMIT seconds (default 60), LIMIT_BARE for what is expected to hang (default 5).
#
# The runner gives each test GILSHIM_LIB, and those in each-python/ PY_TAG PY_KIND PY_VERSION PY_BUILD PY_INCLUDE PYTHON
# FIXTURES (see tests/interpreters.sh for their meaning).

# shellcheck disable=SC2034,SC2154 # bats' own names; what the tests use
bats_require_minimum_version 1.5.0

ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
GILSHIM_LIB=${GILSHIM_LIB:-$ROOT/build/libgilshim.so}

# timeout makes a process group of CMD, so that the time limit ends its children too. bats' fd 3 is closed for it: a hung
# process that kept it open would hang bats.
# Not by `run`, which warns of every status 127.
limited() {
    output=$(timeout -s KILL "$@" 2>&1 3>&- </dev/null) && status=0 || status=$?
    IFS=$'\n' read -r -d '' -a lines <<<"$output" || :
}

without() {
    limited "${LIMIT:-60}" env -u LD_PRELOAD -u GILSHIM_OPTIONS "$@"
}

# GILSHIM_TEST_SHIM_OFF is the failsafe's: with it every test that shows a repair must fail, and soon. It is a file, which gets
# their names.
# GILSHIM_TEST_PRELOAD goes in front of the shim (a sanitizer's runtime).
with_shim() {
    local options=${SHIM_OPTIONS:-} limit=${LIMIT:-60}
    if [ -n "${GILSHIM_TEST_SHIM_OFF:-}" ]; then
        options=${options:+$options:}mode=off
        limit=5
    fi
    limited "$limit" env LD_PRELOAD="${GILSHIM_TEST_PRELOAD:+$GILSHIM_TEST_PRELOAD:}$GILSHIM_LIB" GILSHIM_OPTIONS="$options" "$@"
}

# What a failed assertion prints; the runner has bats add $output.
told() {
    printf '%s\n' "$1" "status: $status"
    return 1
}

# This test shows a repair: the failsafe expects that it fails with the shim off.
shows_repair() {
    [ -z "${GILSHIM_TEST_SHIM_OFF:-}" ] || [ ! -e "${GILSHIM_TEST_SHIM_OFF:-}" ] ||
        printf '%s\n' "$BATS_TEST_DESCRIPTION" >>"$GILSHIM_TEST_SHIM_OFF"
}

# In both: 125 to 127 are the statuses of timeout and env themselves, for a program that never ran.
fails_without() {
    LIMIT=${LIMIT_BARE:-5} without "$@"
    shows_repair
    case $status in
    0) told "expected to hang or die without the shim, but it ended well: $*" ;;
    125 | 126 | 127) told "could not be run: $*" ;;
    esac
}

works_with() {
    with_shim "$@"
    case $status in
    0) ;;
    137) told "hung (or was killed) with the shim: $*" ;;
    *) told "failed with the shim: $*" ;;
    esac
}

fails_with() {
    LIMIT=${LIMIT_BARE:-5} with_shim "$@"
    case $status in
    0) told "expected to hang or die with SHIM_OPTIONS='${SHIM_OPTIONS:-}', but it ended well: $*" ;;
    125 | 126 | 127) told "could not be run: $*" ;;
    esac
}

require() {
    local reason=$1
    shift
    "$@" >/dev/null 2>&1 3>&- || skip "$reason"
}

# Asserts on $status and $output of the last run.
is_status() { [ "$status" -eq "$1" ] || told "expected status $1"; }
is_silent() { [ -z "$output" ] || told "expected no output"; }
# shellcheck disable=SC2254 # a pattern on purpose
has_line() {
    local line
    for line in "${lines[@]}"; do
        case $line in $1) return 0 ;; esac
    done
    told "no line of the output matches: $1"
}
# shellcheck disable=SC2254
has_no_line() {
    local line
    for line in "${lines[@]}"; do
        case $line in $1) told "a line of the output matches: $1" || return 1 ;; esac
    done
}
# How many lines match the pattern.
count_lines() {
    local line count=0
    for line in "${lines[@]}"; do
        # shellcheck disable=SC2254
        case $line in $1) count=$((count + 1)) ;; esac
    done
    echo "$count"
}
# Sets PY_TAG, PYTHON and the rest as for the tests in each-python/, for the newest interpreter of kind $1 (static, shared):
# for tests that run once and need one. Fails where there is none.
use_python() {
    local tag kind version build python include chosen=''
    while IFS=$'\t' read -r tag kind version build python include _; do
        [ "$kind $build" = "$1 release" ] || continue
        # Where only libpython is there, the fixtures' own python is the program: the second choice.
        [ "$python" != - ] || [ -z "$chosen" ] || continue
        chosen=$tag
        export PY_TAG=$tag PY_KIND=$kind PY_VERSION=$version PY_BUILD=$build PY_INCLUDE=$include PYTHON=$python
        export FIXTURES=$ROOT/build/fixtures/$tag
        [ "$PYTHON" != - ] || PYTHON=$FIXTURES/python
    done <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}"
    [ -n "$chosen" ]
}
# True where version $1 is older than $2 (3.12), both of two numbers. Asked for hundreds of times: it starts no program.
is_before() {
    [ $((${1%%.*} * 1000 + ${1#*.})) -lt $((${2%%.*} * 1000 + ${2#*.})) ]
}
# True where the interpreter under test is older than $1 (3.12).
python_before() { is_before "$PY_VERSION" "$1"; }
# For `require`: the interpreter under test is $1 or newer.
python_from() { ! python_before "$1"; }
# Whether CPython lets a running script finalize it: from 3.13 on debug builds assert that the script's own state is not
# freed meanwhile, with nothing mixed. finalizing_script_dies shows it.
script_may_finalize() { [ "$PY_BUILD" != debug ] || python_before 3.13; }
finalizing_script_dies() {
    without "$PYTHON" -S -c 'import ctypes; ctypes.PyDLL(None).Py_FinalizeEx()'
    has_line "*Assertion *_PyThreadState_IsRunningMain(tstate)' failed."
}
# True where the installed pybind11 is older than $1 (3.1).
pybind_before() {
    local version
    version=$(sed -n 's/^#define PYBIND11_VERSION_M[AI][JN]OR //p' /usr/include/pybind11/detail/common.h | paste -sd.)
    is_before "$version" "$1"
}
