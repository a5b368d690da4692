#!/usr/bin/env bats
# A long program that does not mix GIL APIs does not notice the shim: it sees the same pointers, counters, return values and
# errno at each step (tests/fixtures/binding/trace.c).

load ../helpers

setup() {
    export PYTHONPATH=$FIXTURES
}

# $1: 1 for sub-interpreters too. They come last in the matter: once there was one, PyGILState_Check says 1 for ever.
same_trace() {
    local script='import sys, trace; sys.stdout.write(trace.play(int(sys.argv[1])))'
    without "$PYTHON" -S -c "$script" "$1"
    is_status 0
    has_line "1 states at the end"
    [ "${#lines[@]}" -gt 400 ] || told "the trace is too short"
    printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/without"
    works_with "$PYTHON" -S -c "$script" "$1"
    printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/with"
    diff -u "$BATS_TEST_TMPDIR/without" "$BATS_TEST_TMPDIR/with" | head -n 40 >&2
    cmp -s "$BATS_TEST_TMPDIR/without" "$BATS_TEST_TMPDIR/with"
}

@test "one interpreter: every step is the same" {
    same_trace 0
}

@test "with sub-interpreters: every step is the same" {
    same_trace 1
}

@test "nothing is printed, whatever a program does with threads" {
    local script='
import threading, time
def work():
    for _ in range(50):
        time.sleep(0)
threads = [threading.Thread(target=work) for _ in range(20)]
for t in threads: t.start()
for t in threads: t.join()
'
    works_with "$PYTHON" -S -c "$script"
    is_silent
    # told everything, it has no repair to tell of
    SHIM_OPTIONS=verbosity=1 works_with "$PYTHON" -S -c "$script"
    has_no_line "*repaired*"
}

# What runs at the start is linked first (Makefile), and the kernel maps no more than the 64 KiB around it.
@test "a program that has no use for most of the library's code does not have it in its memory" {
    require "$NEEDS_KERNEL" has_kernel # which maps code so that smaps shows it
    require "needs pages of 4 KiB" [ "$(getconf PAGESIZE)" = 4096 ]
    local least=999999 size in_memory round script='
import sys
mapping = []
smaps = open("/proc/self/smaps")
for line in smaps.readlines():
    words = line.split()
    if not words[0].endswith(":"):
        mapping = words
    elif words[0] in ("Size:", "Rss:") and mapping[1] == "r-xp" and mapping[-1] == sys.argv[1]:
        sys.stdout.write(words[1] + " ")
smaps.close()
'
    # the addresses, and with them the windows of 64 KiB, are others each time
    for round in 1 2 3 4 5 6; do
        works_with "$PYTHON" -S -c "$script" "$(realpath "$GILSHIM_LIB")"
        read -r size in_memory <<<"$output"
        [ "$in_memory" -gt 0 ]
        if [ "$in_memory" -lt "$least" ]; then least=$in_memory; fi
    done
    [ "$least" -le $((size * 3 / 4)) ] || told "$least of $size KiB of code are in memory"
}

@test "exit status, exceptions and fatal errors are the program's own" {
    local script
    for script in 'import sys; sys.exit(7)' 'raise SystemExit("told")' '1/0' 'import os; os._exit(9)' 'import os; os.kill(os.getpid(), 15)' \
        'import threading; threading.Thread(target=lambda: 1/0, name="t").start()'; do
        without "$PYTHON" -S -c "$script"
        local bare="$status $output"
        with_shim "$PYTHON" -S -c "$script"
        [ "$status $output" = "$bare" ] || told "$script, without the shim: $bare"
    done
}

@test "CPython's own fatal errors for real misuse stay" {
    local misuse
    for misuse in "PyGILState_Release(0)" "PyEval_SaveThread() and p.PyEval_SaveThread()" "PyThreadState_DeleteCurrent() or p.PyThreadState_DeleteCurrent()"; do
        local script="import ctypes; p = ctypes.PyDLL(None); p.$misuse"
        LIMIT=10 without "$PYTHON" -S -c "$script"
        [ "$status" -gt 128 ] || continue # this version lets it pass
        local bare_status=$status fatal
        fatal=$(grep -m 1 -o 'Fatal Python error: [A-Za-z_:() ]*' <<<"$output" || true)
        LIMIT=10 with_shim "$PYTHON" -S -c "$script"
        [ "$status" = "$bare_status" ] || told "$misuse: status without the shim: $bare_status"
        [[ "$output" == *"$fatal"* ]] || told "$misuse: without the shim: $fatal"
    done
}
