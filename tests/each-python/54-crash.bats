#!/usr/bin/env bats
# crash=1: what is said of a process that dies of SIGSEGV and the like (tests/fixtures/crash), and that it dies as it does
# without the shim.

# shellcheck disable=SC2030,SC2031 # each test has its own
load ../helpers

setup() {
    export PYTHONPATH=$FIXTURES
    cd "$BATS_TEST_TMPDIR" || return
    ulimit -c 0
    options=history=64:crash=1
    # What gilcrash's divide() dies of.
    case $(uname -m) in
    aarch64) divided=4 division='SIGILL at 0x*' ;; # no fault there
    *) divided=8 division='SIGFPE at 0x* (integer division by zero)' ;;
    esac
}

# The program that dies: NAME [WHERE], after these statements in $before.
program() { command=("$PYTHON" -S -c "${before:-}
import gilcrash
gilcrash.run('$1', '${2:-here}')"); }

# dies STATUS PATTERN NAME [WHERE]: it ends with that status, also bare, and this is the first line about the crash, the only one.
dies() {
    local expected=$1 pattern=$2
    shift 2
    program "$@"
    without "${command[@]}"
    is_status "$expected" || return
    SHIM_OPTIONS=$options with_shim "${command[@]}"
    is_status "$expected" || return
    has_line "==*== gilshim: crash: $pattern" || return
    [ "$(count_lines '*gilshim: crash: *')" -eq 1 ] || told "$*: not one report" || return
    has_line '*gilshim:   native stack*'
}

@test "each signal: the library, the signal and the address first" {
    local rest='*: has the GIL, so it is not a GIL error*'
    dies 139 "gilcrash.so: SIGSEGV at 0x8 (nothing is mapped there) in gilcrash.so!touch_null+0x* on tid [0-9]* \"*\"$rest" null
    dies 139 "gilcrash.so: SIGSEGV at 0x0 (*) in 0x0, called from gilcrash.so!call_null+0x*$rest" call_null
    dies 139 "gilcrash.so: SIGSEGV at * in gilcrash.so!non_canonical+0x*$rest" non_canonical
    dies $((128 + divided)) "gilcrash.so: $division in gilcrash.so!divide+0x*$rest" divide
    dies 132 "gilcrash.so: SIGILL at 0x* in gilcrash.so!illegal+0x*$rest" illegal
    dies 135 "gilcrash.so: SIGBUS at 0x*000 (*) in gilcrash.so!beyond_file+0x*$rest" beyond_file
}

@test "SIGABRT of abort, of a failed assert and of a corrupt heap" {
    dies 134 "gilcrash.so: SIGABRT, raised by the program itself * called from gilcrash.so!run+0x*: has the GIL, so*" abort
    dies 134 "gilcrash.so: SIGABRT, * called from gilcrash.so!failed_assert+0x*" assert
    dies 134 "gilcrash.so: SIGABRT, * called from gilcrash.so!double_free+0x*" double_free
}

# ctypes is told by its own name, not by libffi's. A module of CPython's that only calls Python code is not to be suspected.
@test "CPython's own modules: the innermost, and none that called the interpreter" {
    local died='SIGSEGV at 0x0 (nothing is mapped there) in libc*, called from _ctypes*so!'
    SHIM_OPTIONS=$options with_shim "$PYTHON" -S -c 'import ctypes; ctypes.CDLL(None).strlen(ctypes.c_void_p(0))'
    is_status 139
    has_line "*gilshim: crash: _ctypes*so: $died*"
    python_from 3.6 || return 0
    SHIM_OPTIONS=$options with_shim "$PYTHON" -S -c '
import faulthandler, json
json.JSONEncoder(default=lambda one: faulthandler._sigsegv()).encode(1j)'
    [ "$status" -gt 128 ] || told "it lives"
    has_line "*gilshim:     #* _json*so*"
    has_line "*gilshim: crash: *python*: SIG*"
    if grep -q 'crash: _json' <<<"$output"; then told "_json is suspected"; fi
}

# The library that called, why it has no GIL, and since when. (A debug build may find that out by itself, and abort.)
@test "the C API without the GIL: says so, and where the GIL was given up" {
    local where said='does not have the GIL; no state attached: the C API was called without the GIL; '
    for where in saved left thread; do
        program call "$where"
        without "${command[@]}"
        local expected=$status
        [ "$expected" -gt 128 ] || told "bare, it lives: $where"
        SHIM_OPTIONS=$options with_shim "${command[@]}"
        is_status "$expected"
        has_line '*gilshim: FATAL: *' >/dev/null && continue
        case $where in
        saved) has_line "*gilshim: crash: gilcrash.so: SIG* called from gilcrash.so!call_python+0x*: ${said}its last GIL event: detach by PyEval_SaveThread at gilcrash.so!run+0x* 0.* s ago" ;;
        left) has_line "*gilshim: crash: gilcrash.so: SIG* called from gilcrash.so!call_python+0x*: ${said}its last GIL event: detach by PyEval_SaveThread at gilcrash.so!leave_and_die+0x* 0.* s ago" ;;
        thread) has_line "*gilshim: crash: gilcrash.so: SIG* called from gilcrash.so!call_python+0x* on tid * \"doomed\": ${said}no GIL event of it was seen" ;;
        esac
    done
}

@test "outside CPython: the GIL of the thread, and of no other" {
    dies 139 'gilcrash.so: SIGSEGV at 0x8 *: does not have the GIL; no state attached, but it was not in CPython*' null thread
    dies 139 'gilcrash.so: SIGSEGV at 0x8 *: does not have the GIL; no state attached, but it was not in CPython*' null left
    dies 139 'gilcrash.so: SIGSEGV at 0x8 * on tid * "doomed": has the GIL, so it is not a GIL error*ensure by PyGILState_Ensure at gilcrash.so!enter_and_die*' \
        null inside
}

@test "a state that was deleted: says where" {
    program deleted
    without "${command[@]}"
    local expected=$status
    SHIM_OPTIONS=$options with_shim "${command[@]}"
    # What is found in freed memory is chance: bare, a debug build without the GIL lives.
    [ "$expected" -eq 0 ] && is_free_threaded || is_status "$expected"
    [ "$status" -gt 128 ]
    has_line '*gilshim: FATAL: *' >/dev/null && return
    has_line '*gilshim: crash: gilcrash.so: SIG*: *state* is one that was deleted at gilcrash.so!delete_and_attach+0x* (PyThreadState_Delete on tid *'
}

@test "after Python's end: says so" {
    program at_exit
    without "${command[@]}"
    local expected=$status
    SHIM_OPTIONS=$options with_shim "${command[@]}"
    is_status "$expected"
    [ "$expected" -gt 128 ]
    has_line '*gilshim: FATAL: *' >/dev/null && return
    # If the GIL API was never called before 3.0, nobody has seen the end.
    local end='has been finalized'
    [ "$PY_VERSION" != 2.7 ] || end='is not initialized, or not any more'
    has_line "*gilshim: crash: gilcrash.so: SIG*: does not have the GIL; Python $end: the C API was called all the same; *"
}

@test "the Python stack, the native stack and the events follow, then the summary" {
    SHIM_OPTIONS=$options:summary=1 with_shim "$PYTHON" -S -c 'import gilcrash
def play(): gilcrash.run("null", "saved")
play()'
    is_status 139
    has_line '*gilshim:     #0 gilcrash.so!touch_null+0x*'
    has_line '*gilshim:     -0.* s detach by PyEval_SaveThread *'
    has_line '*gilshim:   advice: *'
    has_line '*gilshim: summary'
    # 2.7 has no function that prints it, and a stripped interpreter hides it.
    if [ "$PY_VERSION" = 3.6 ] || [ "$PY_VERSION" = 3.12 ]; then has_line '  File "<string>", line 2 in play'; fi
}

@test "a stack overflow, on the first thread and on another" {
    dies 139 "gilcrash.so: SIGSEGV at 0x* (the thread's stack has run out) in gilcrash.so!recurse+0x*" overflow
    dies 139 "gilcrash.so: SIGSEGV at 0x* (the thread's stack has run out) in gilcrash.so!recurse+0x* on tid * \"doomed\"*" overflow inside
}

@test "on a thread with a stack of 16 KiB, and in a signal handler" {
    dies 139 'gilcrash.so: SIGSEGV at 0x8 * on tid * "doomed": does not have the GIL; *' null small
    dies 139 'gilcrash.so: SIGSEGV at 0x8 * in gilcrash.so!touch_null+0x* on tid *' in_handler
}

@test "threads that crash at the same time: one report" {
    dies 139 'gilcrash.so: SIGSEGV at 0x8 *' together saved
}

@test "a fork child: its own report, and its signal" {
    program in_child
    without "${command[@]}"
    has_line 'child: signal 11, core 0'
    SHIM_OPTIONS=$options with_shim "${command[@]}"
    is_status 0
    has_line 'child: signal 11, core 0'
    has_line '*gilshim: crash: gilcrash.so: SIGSEGV at 0x8 * in gilcrash.so!touch_null+0x*'
}

# What waitpid says, with the bit for the core.
wait_status() {
    limited 60 env -u LD_PRELOAD -u GILSHIM_OPTIONS "$BASH" -c 'ulimit -c unlimited; exec "$@"' - "$PYTHON" -S -c 'import os, sys
child = os.fork()
if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
print("waited: %d" % os.waitpid(child, 0)[1])' "$@"
    rm -f core core.*
}

@test "a core is dumped if it is without the shim" {
    local name bare
    for name in null abort; do
        program $name
        wait_status "${command[@]}"
        bare=${lines[*]: -1}
        wait_status env LD_PRELOAD="$GILSHIM_LIB" GILSHIM_OPTIONS="$options" "${command[@]}"
        has_line "$bare"
        has_line '*gilshim: crash: gilcrash.so: SIG*'
    done
}

@test "with faulthandler on, both speak, and the fault is what it was" {
    require "$NEEDS_KERNEL" has_kernel # qemu-user saves no syndrome of a fault
    require '2.7 has no faulthandler' python_from 3.0
    before='import faulthandler; faulthandler.enable()'
    dies 139 'gilcrash.so: SIGSEGV at 0x8 (nothing is mapped there) in gilcrash.so!touch_null+0x*' null
    has_line 'Fatal Python error: Segmentation fault'
    # AArch64 keeps no syndrome of this one: it is taken for faulthandler's own raise().
    [ "$divided" -eq 8 ] || return 0
    dies 136 "gilcrash.so: $division in gilcrash.so!divide+0x*" divide
    has_line 'Fatal Python error: Floating?point exception'
}

@test "the program's own handlers: chained, they see what they see bare; one that recovers is left alone" {
    dies 139 'gilcrash.so: SIGSEGV at 0x8 * in gilcrash.so!touch_null+0x*' own_handler
    has_line 'saw default'
    has_line 'own handler'
    dies 134 'gilcrash.so: SIGABRT raised by the handler of SIGSEGV at 0x8 * in gilcrash.so!touch_null+0x*' abort_in_handler
    program recovers
    SHIM_OPTIONS=$options works_with "${command[@]}"
    is_silent
}

@test "sigaltstack answers as without the shim, and the program's own stack is used" {
    require "$NEEDS_KERNEL" has_kernel # which maps again where something was unmapped
    program stack
    without "${command[@]}"
    is_status 0
    has_line 'first thread: *'
    local bare=$output
    SHIM_OPTIONS=$options works_with "${command[@]}"
    [ "$output" = "$bare" ] || told "bare it says: $bare"
}

@test "a handler with SA_ONSTACK has room on the stack that it finds" {
    program deep_handler
    without "${command[@]}"
    is_status 0
    SHIM_OPTIONS=$options works_with "${command[@]}"
    is_silent
}

# Each has at least one mapping.
@test "a fork child has the alternate stacks of its own threads only" {
    program fork_with_threads
    SHIM_OPTIONS=$options works_with "${command[@]}"
    local parent child
    parent=$(sed -n 's/^parent: //p' <<<"$output")
    child=$(sed -n 's/^child: //p' <<<"$output")
    [ "$child" -le $((parent - 20)) ] || told "parent: $parent mappings, child: $child"
}

# CPython's dump of its own stack faults, which is another signal than the first.
@test "a crash in the report: it goes on behind that, and the process dies of the first signal" {
    options=$options:summary=1
    dies $((128 + divided)) "gilcrash.so: ${division% (*} in gilcrash.so!divide+0x*" corrupt
    has_line '*gilshim:   advice: *'
    has_line '*gilshim: summary'
}

@test "crashes in the report again and again, also where no step can be left out: the process dies of the first signal, with what was told" {
    require "$NEEDS_KERNEL" has_kernel # it ends the process at a fault in a handler
    program crash_in_report
    SHIM_OPTIONS=$options:summary=1 works_with "${command[@]}"
    has_line "child: signal $divided, interrupted"
    has_line "*gilshim: crash: gilcrash.so: $division in gilcrash.so!divide+0x*"
}

@test "a signal whose frame has no room on the stack: the process dies, as bare" {
    program no_room
    without "${command[@]}"
    is_status 139
    SHIM_OPTIONS=$options with_shim "${command[@]}"
    is_status 139
    has_line '*gilshim: crash: *'
}

@test "a signal of another process is no fault" {
    program wait
    command=("$BASH" -c '"$@" >out & until grep -q ready out; do sleep 0.1; done; kill -SEGV $!; wait $!' - "${command[@]}")
    SHIM_OPTIONS=$options with_shim "${command[@]}"
    is_status 139
    has_line '*gilshim: crash: SIGSEGV, sent by pid [0-9]*: no fault of memory in *'
}

@test "what CPython itself has found fatal is told once" {
    command=("$PYTHON" -S -c 'import ctypes; ctypes.pythonapi.Py_FatalError(b"on purpose")')
    SHIM_OPTIONS=$options with_shim "${command[@]}"
    is_status 134
    has_line '*gilshim: FATAL: *'
    has_no_line '*gilshim: crash: *'
}

@test "JSON: one object, with signal, address and has_gil" {
    program call saved
    SHIM_OPTIONS=$options:log_format=json:log_path=$PWD/log with_shim "${command[@]}"
    if grep -q '"name": "fatal"' log.*; then return; fi
    [ "$(wc -l < log.*)" -eq 1 ]
    grep -q '"type": "fatal", "name": "crash", .*"signal": "SIG[A-Z]*", "address": .*, "has_gil": false, .*"looks_like": "no state", .*"culprit": "gilcrash.so"' log.*
    program null
    SHIM_OPTIONS=$options:log_format=json:log_path=$PWD/json with_shim "${command[@]}"
    grep -q '"signal": "SIGSEGV", "address": "0x8", "has_gil": true, ' json.*
    "$PYTHON" -S -c 'import json, sys; json.loads(sys.stdin.read())["native_stack"][0].index("touch_null")' < json.*
}

@test "suppressed, off, not wanted: nothing is said; verbosity=0: it is" {
    require "$NEEDS_KERNEL" has_kernel # it says itself what a process dies of
    local silent
    echo 'crash:gilcrash.so!touch_null' >rules
    program null
    for silent in "$options:suppressions=$PWD/rules" "$options:mode=off" history=64:crash=0; do
        SHIM_OPTIONS=$silent with_shim "${command[@]}"
        is_status 139
        has_no_line '*gilshim: crash: *'
        # What was suppressed is counted at the end.
        case $silent in *suppressions*) has_line '*gilshim: suppressed 1 crash:gilcrash.so!touch_null' ;; *) is_silent ;; esac
    done
    SHIM_OPTIONS=$options:verbosity=0 with_shim "${command[@]}"
    has_line '*gilshim: crash: *'
}

@test "the wrapper reports crashes, also with -q" {
    program null
    limited 60 "$ROOT/run-with-shim.sh" -q "${command[@]}"
    is_status 139
    has_line '*gilshim: crash: gilcrash.so: SIGSEGV *'
    has_no_line '*summary*'
}
