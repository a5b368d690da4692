# timeline=FILE: the file is valid in Chrome's trace format however the program ends, is complete, and does not grow without
# bounds.
# shellcheck disable=SC2030,SC2031 # each test has its own command
load helpers

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# Runs the function for a static and a shared CPython.
for_each_kind() {
    local kind
    for kind in static shared; do
        use_python "$kind" || continue
        rm -f t.*
        "$@" || told "with $PY_TAG" || return
    done
}

program() { command=("$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" "$@"); }
traced() { SHIM_OPTIONS=timeline=t${OPTIONS:+:$OPTIONS} with_shim "${command[@]}"; }

# The only file that matches is good; what is in it is in $lines.
judge() {
    local file=("$@")
    [ -e "${file[0]}" ] && [ "${#file[@]}" -eq 1 ] || told "expected one file: $*" || return
    without python3 "$ROOT/tests/fixtures/stall/check_timeline.py" "${file[0]}" "${CLOSED-closed}"
    is_status 0
}
# How often an event is in it.
count() {
    local line
    for line in "${lines[@]}"; do case $line in "$1 "*) echo "${line##* }" && return ;; esac done
    echo 0
}

shows_threads() {
    program healthy 1
    traced
    is_status 0
    is_silent
    judge t.*
    [ "$(count 'holds the GIL')" -gt 20 ]
    [ "$(count 'state attached')" -gt 20 ]
    [ "$(count 'waits for the GIL')" -gt 0 ]
    [ "$(count_lines 'thread_name *')" -ge 1 ]
    has_line "process_name ${PYTHON##*/} 1"
}

@test "threads that share the GIL: holds, waits, states, names" {
    for_each_kind shows_threads
}

@test "each pair is a span, or counted as dropped" {
    use_python static || use_python shared
    program often 200000
    OPTIONS=log_path=$PWD/log traced
    is_status 0
    judge t.*
    # Of a pair whose one half was lost, the other makes no span.
    local held dropped warned
    held=$(count 'holds the GIL') dropped=$(count dropped-events)
    [ $((held * 2 + dropped)) -ge 399000 ] && [ $((held * 2)) -le 400100 ] || told "$held spans, $dropped dropped"
    warned=$(sed -n 's/.*the timeline lacks \([0-9]*\) events of 40000[0-9], .*/\1/p' log.*) || :
    [ "${warned:-0}" -eq "$dropped" ] || told "warned of: $warned"
    [ "$dropped" -eq 0 ] || [ "$(count dropped)" -gt 0 ] # spans: check_timeline.py
}

@test "nothing is dropped of 30000 pairs at once, however late the writer comes" {
    use_python static || use_python shared
    program often 30000
    traced
    is_status 0
    is_silent
    judge t.*
    [ "$(count 'holds the GIL')" -eq 30001 ] && [ "$(count dropped-events)" -eq 0 ]
}

# As fast as it can: many times what a ring has.
waits_for_writer() {
    program often 200000
    OPTIONS=timeline_wait=1 traced
    is_status 0
    is_silent
    judge t.*
    [ "$(count 'holds the GIL')" -eq 200001 ] && [ "$(count dropped-events)" -eq 0 ]
}
@test "timeline_wait=1: threads wait for the writer, and nothing is dropped" { for_each_kind waits_for_writer; }

# ends_stalled KIND: the program hangs, and is ended.
ends_stalled() {
    LIMIT=20 SHIM_OPTIONS=log_path=$PWD/log:timeline=t${OPTIONS:+:$OPTIONS} with_shim timeout -s TERM "$((5 * ${GILSHIM_TEST_PATIENCE:-1}))" \
        "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" "$1"
    is_status 124
    judge t.*
}

# From 3.13 on CPython ends the program by a message of its own.
shows_deadlock() {
    ends_stalled lock_order
    [ "$(count 'waits for the GIL, to the end')" -eq 1 ]
    rm t.*
    python_before 3.13 || return 0
    OPTIONS=mode=observe ends_stalled itself
    [ "$(count 'deadlock: waits for the GIL, as foretold')" -eq 1 ] && [ "$(count 'waits for the GIL')" -eq 0 ]
    [ "$(count 'holds the GIL')" -ge 1 ]
}
@test "a wait without an end is one, and a deadlock that was foretold too" { for_each_kind shows_deadlock; }

ends_well() {
    local way=$1 expected=$2
    program ending "$way"
    traced
    is_status "$expected"
    judge t.*
    [ "$(count 'holds the GIL')" -ge 10 ]
}

@test "ends by exit: all of it, and closed" { for_each_kind ends_well exit 0; }
@test "ends by _exit: all of it, and closed" { for_each_kind ends_well _exit 0; }
@test "ends by abort: all of it, and closed" { for_each_kind ends_well abort 134; }

# Whatever the program sets in between, it is SIG_DFL that it sees, and the signal that it dies of.
dies_of() {
    local name=$1 expected=$2
    program ending "$name"
    without "${command[@]}"
    is_status "$expected"
    traced
    is_status "$expected"
    judge t.*
    [ "$(count 'holds the GIL')" -ge 10 ]
}

@test "dies of SIGTERM: all of it, and closed" { for_each_kind dies_of SIGTERM 143; }
@test "dies of SIGINT, SIGHUP, SIGQUIT: all of it, and closed" {
    for_each_kind dies_of SIGINT 130
    for_each_kind dies_of SIGHUP 129
    for_each_kind dies_of SIGQUIT 131
}
@test "dies of SIGSEGV: all of it, and closed" { for_each_kind dies_of SIGSEGV 139; }

# Python ends so since 3.8, where nobody catches the exception.
@test "an uncaught KeyboardInterrupt: all of it, and closed; and the summary" {
    use_python shared || use_python static
    command=("$PYTHON" -S -c 'import os, signal; os.kill(os.getpid(), signal.SIGINT); [None for _ in range(10 ** 7)]') # time to notice
    OPTIONS=summary=1 traced
    if python_before 3.8; then is_status 1; else is_status 130; fi
    has_line '*gilshim: summary'
    judge t.*
}

# The signal comes while threads are busy, and comes twice: timeout sends it to the process and to its group.
terminated_twice() {
    local seconds file
    for seconds in 1 5 20; do # a machine that is busy takes longer to come to it
        rm -f t.*
        program healthy 60
        LIMIT=80 SHIM_OPTIONS=timeline=t with_shim timeout "$seconds" "${command[@]}"
        is_status 124
        file=(t.*)
        [ -e "${file[0]}" ] || continue
        judge "${file[@]}"
        [ "$(count 'holds the GIL')" -lt 10 ] || break
    done
    [ "$(count 'holds the GIL')" -ge 10 ]
}
@test "threads at work, SIGTERM: closed" { for_each_kind terminated_twice; }

# What nobody can meet: what was written by then is whole, and it is written within moments. t.PID holds the pid that a
# signal has to go to.
killed() {
    program ending wait
    mkfifo pipe
    env LD_PRELOAD="$GILSHIM_LIB" GILSHIM_OPTIONS=timeline=t timeout -s KILL 60 "${command[@]}" >pipe 2>&1 3>&- &
    local program=$! line end=$((SECONDS + 50))
    read -r -t 50 line <pipe
    rm pipe
    [ "$line" = ready ] || told "it is not ready: $line"
    until grep -qs 'holds the GIL' t.* || [ "$SECONDS" -ge "$end" ]; do sleep 0.1; done
    local file=(t.*)
    kill -KILL "${file[0]#t.}"
    wait "$program" || :
    judge t.*
    [ "$(count 'holds the GIL')" -ge 10 ]
}

@test "killed by SIGKILL: what was drained by then, and closed" { for_each_kind killed; }

@test "nothing asked for: no handler stands in for the default" {
    use_python static || use_python shared
    local caught="print([line for line in open('/proc/self/status') if line.startswith('SigCgt')])"
    without "$PYTHON" -S -c "$caught"
    local bare=$output
    works_with "$PYTHON" -S -c "$caught"
    [ "$output" = "$bare" ] || told "without the shim: $bare"
}

@test "a fork child has a file of its own" {
    use_python shared || use_python static
    program forking
    traced
    is_status 0
    local file files=(t.*)
    [ "${#files[@]}" -eq 2 ] || told "expected two files: ${files[*]}"
    for file in "${files[@]}"; do
        judge "$file"
        [ "$(count 'holds the GIL')" -ge 10 ]
    done
}

# A daemon closes what it has not opened, and its own files may get the numbers.
closing_program() {
    cat >closing.py <<'PY'
import os, sys, threading, time
before = [int(fd) for fd in os.listdir("/proc/self/fd")]
os.closerange(3, 4096)
mine = os.open("mine", os.O_WRONLY | os.O_CREAT, 0o644)
os.write(mine, b"mine\n")
for fd in before:
    if fd > 2 and fd != mine: os.dup2(mine, fd)
def work():
    for i in range(50): time.sleep(0.002)
threads = [threading.Thread(target=work) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
PY
}
closing_all() {
    closing_program
    rm -f mine log.*
    command=("$PYTHON" -S closing.py)
    OPTIONS=summary=1:log_path=$PWD/log traced
    is_status 0
    [ "$(cat mine)" = mine ] || told "the program's own file: $(cat mine)"
    judge t.*
    [ "$(count 'state attached')" -gt 20 ]
    grep -q 'gilshim: summary' log.*
}
@test "a program closes all descriptors and opens files: none of them is written to, the timeline goes on" {
    for_each_kind closing_all
}

@test "a program finds the lowest descriptors free" {
    use_python static || use_python shared
    command=("$PYTHON" -S -c 'import os; print("next is", os.open("/dev/null", os.O_RDONLY))')
    without "${command[@]}"
    local bare=$output
    OPTIONS=log_path=$PWD/log traced
    [ "$output" = "$bare" ] || told "without the shim: $bare"
}

@test "a repair is an instant with the module's name" {
    use_python static || use_python shared
    "$ROOT/tests/demo/build" "$PYTHON" modules
    cat >mixed.py <<'PY'
import engine, codec
engine.run(lambda who: None)
codec.encode(lambda who: None)
PY
    command=(env PYTHONPATH=modules "$PYTHON" -S mixed.py)
    traced
    is_status 0
    judge t.*
    has_line 'repaired held *engine.so!*'
}

@test "it does not outgrow its limit: the older half is in FILE.1" {
    use_python static || use_python shared
    program healthy 4
    OPTIONS=timeline_mb=1 traced
    is_status 0
    local old=(t.*.1)
    [ -e "${old[0]}" ] || told "no second file"
    local new=${old[0]%.1}
    [ "$(stat -c %s "${old[0]}")" -le 530000 ]
    [ "$(stat -c %s "$new")" -le 530000 ]
    judge "${old[0]}"
    judge "$new"
}

@test "a file that can't be written is told, and the program goes on" {
    use_python static || use_python shared
    program ending exit
    SHIM_OPTIONS=timeline=/no/such/folder/t works_with "${command[@]}"
    has_line '*warning: can*t write the timeline "/no/such/folder/t.*'
    ln -s /dev/full full
    SHIM_OPTIONS=timeline=/dev/full works_with "${command[@]}"
}
