# Every bats file loads this: `load helpers` (in tests/) or `load ../helpers` (in tests/each-python/).
#
#   without CMD...        runs CMD bare (without the shim)
#   with_shim CMD...      runs CMD with the shim preloaded and GILSHIM_OPTIONS=$SHIM_OPTIONS
#   fails_without CMD...  expects that CMD, bare, hangs or dies
#   works_with CMD...     expects that CMD, with the shim, ends with status 0
#   fails_with CMD...     expects that CMD, with the shim and these SHIM_OPTIONS, still hangs or dies
#   require REASON CMD... skips the test with REASON unless CMD succeeds: the only way to skip
#
# The first two set $status, $output and $lines as bats' `run` does. Every command has a time limit: LIMIT seconds (default
# 60), or LIMIT_BARE for commands that are expected to hang (default 5). If the limit is reached, $status is 137.
#
# The runner sets GILSHIM_LIB for each test, and for those in each-python/ also PY_TAG PY_KIND PY_VERSION PY_BUILD PY_INCLUDE
# PYTHON FIXTURES (see tests/interpreters.sh for their meaning).

# shellcheck disable=SC2034,SC2154 # bats' own names, and variables for the tests
bats_require_minimum_version 1.5.0

ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
GILSHIM_LIB=${GILSHIM_LIB:-$ROOT/build/libgilshim.so}

# timeout makes CMD a process group, so that the time limit also ends its children. bats' fd 3 is closed, because a hung
# process that keeps it open would hang bats. `run` is not used, because it warns of every status 127.
# GILSHIM_TEST_PATIENCE multiplies all limits, for processors that are only played.
limited() {
    output=$(timeout -s KILL "$(($1 * ${GILSHIM_TEST_PATIENCE:-1}))" "${@:2}" 2>&1 3>&- </dev/null) && status=0 || status=$?
    IFS=$'\n' read -r -d '' -a lines <<<"$output" || :
}

without() {
    limited "${LIMIT:-60}" env -u LD_PRELOAD -u GILSHIM_OPTIONS "$@"
}

# GILSHIM_TEST_SHIM_OFF is set by the failsafe, under which every test that shows a repair must fail, and soon. It names a file
# to which the names of these tests are written.
# GILSHIM_TEST_PRELOAD (a sanitizer's runtime) is preloaded in front of the shim.
with_shim() {
    local options=${SHIM_OPTIONS:-} limit=${LIMIT:-60}
    if [ -n "${GILSHIM_TEST_SHIM_OFF:-}" ]; then
        options=${options:+$options:}mode=off
        limit=5
    fi
    limited "$limit" env LD_PRELOAD="${GILSHIM_TEST_PRELOAD:+$GILSHIM_TEST_PRELOAD:}$GILSHIM_LIB" GILSHIM_OPTIONS="$options" "$@"
}

# Prints the message of a failed assertion, and fails. The runner makes bats add $output.
told() {
    printf '%s\n' "$1" "status: $status"
    return 1
}

# Marks this test as one that shows a repair: the failsafe expects that it fails with the shim off.
shows_repair() {
    [ -z "${GILSHIM_TEST_SHIM_OFF:-}" ] || [ ! -e "${GILSHIM_TEST_SHIM_OFF:-}" ] ||
        printf '%s\n' "$BATS_TEST_DESCRIPTION" >>"$GILSHIM_TEST_SHIM_OFF"
}

# Here and in fails_with: 125 to 127 are statuses of timeout and env themselves, if the program never ran.
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

# Assertions about $status and $output of the last run.
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
# Prints how many lines match the pattern.
count_lines() {
    local line count=0
    for line in "${lines[@]}"; do
        # shellcheck disable=SC2254
        case $line in $1) count=$((count + 1)) ;; esac
    done
    echo "$count"
}
# For tests that run once and need an interpreter: sets PY_TAG, PYTHON and the rest as for the tests in each-python/, for the
# newest interpreter of kind $1 (static, shared). Fails if there is none.
use_python() {
    local tag kind version build python include chosen=''
    while IFS=$'\t' read -r tag kind version build python include _; do
        [ "$kind $build" = "$1 release" ] || continue
        # If only libpython is installed, the fixtures' own python is the program. It is the second choice.
        [ "$python" != - ] || [ -z "$chosen" ] || continue
        chosen=$tag
        export PY_TAG=$tag PY_KIND=$kind PY_VERSION=$version PY_BUILD=$build PY_INCLUDE=$include PYTHON=$python
        export FIXTURES=$ROOT/build/fixtures/$tag
        [ "$PYTHON" != - ] || PYTHON=$FIXTURES/python
    done <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}"
    [ -n "$chosen" ]
}
# True if version $1 is older than $2 (3.12); both have two numbers. Called hundreds of times, so it starts no program.
is_before() {
    [ $((${1%%.*} * 1000 + ${1#*.})) -lt $((${2%%.*} * 1000 + ${2#*.})) ]
}
# True if the interpreter under test is older than $1 (3.12).
python_before() { is_before "$PY_VERSION" "$1"; }
# For `require`: true if the interpreter under test is $1 or newer.
python_from() { ! python_before "$1"; }
# True if the interpreter under test was built without the GIL. PYTHON_GIL=1 switches it on.
is_free_threaded() { case ${PY_TAG:-} in *t | *t-*) ;; *) return 1 ;; esac }
# There a fixture's module does not switch it on when it is loaded: with a warning, unless it is decided beforehand.
! is_free_threaded || export PYTHON_GIL=${PYTHON_GIL:-0}
# False in free-threaded debug builds: there CPython asserts where a thread uses a state that another one made, whose memory belongs to the
# maker's thread. asserts_anothers_state CMD... expects that, with the shim; or, where the state is the only one there is, which the shim can't
# look into, the assert that comes first bare.
may_use_anothers_state() { ! is_free_threaded || [ "$PY_BUILD" != debug ]; }
asserts_anothers_state() {
    with_shim "$@"
    case $output in *'tstate_activate: Assertion '*'bound_gilstate'*) return 0 ;; esac
    has_line '*assertion: "heap->thread_id == 0 || heap->thread_id == tid"*'
}
# True if CPython lets a running script finalize it. From 3.13 on, debug builds assert that the running script's own thread
# state is not freed, even if no APIs are mixed. finalizing_script_dies shows it.
script_may_finalize() { [ "$PY_BUILD" != debug ] || python_before 3.13; }
finalizing_script_dies() {
    without "$PYTHON" -S -c 'import ctypes; ctypes.PyDLL(None).Py_FinalizeEx()'
    has_line "*Assertion *_PyThreadState_IsRunningMain(tstate)' failed."
}
# True unless the tests' programs are run by qemu-user (AArch64), for `require`. It hands their calls to the kernel of another processor,
# whose /proc/*/syscall, ptrace, process_vm_readv and core files tell of qemu itself. `tests/matrix/vm` has a kernel.
has_kernel() { [ "$(uname -m)" != aarch64 ] || [ "$(head -c 2 /proc/self/syscall)" != '0 ' ]; } # 0: read() of x86-64
NEEDS_KERNEL='needs a kernel of its processor, qemu-user has none'
# True if the installed pybind11 is older than $1 (3.1).
pybind_before() {
    local version
    version=$(sed -n 's/^#define PYBIND11_VERSION_M[AI][JN]OR //p' /usr/include/pybind11/detail/common.h | paste -sd.)
    is_before "$version" "$1"
}
