# The page shim/doc/walkthrough.md: each of its commands runs as shown. On Debian 12's python3.11, with which the page was made, each
# output is compared with what the page shows of it (tests/shown); on others, the lines that matter.

load helpers
load stalls
load hanging

setup_file() {
    use_python static || use_python shared
    (cd "$ROOT" && tests/demo/build "$PYTHON" "$BATS_FILE_TMPDIR/modules") # with the names of the sources that the page shows
}

setup() {
    use_python static || use_python shared
    cd "$BATS_TEST_TMPDIR" || return
    ln -s "$ROOT/run-with-shim.sh" "$ROOT/tests" "$ROOT/build" .
    export PYTHONPATH=$BATS_FILE_TMPDIR/modules
    page=$ROOT/shim/doc/walkthrough.md
    [ "$(readlink -f /usr/bin/python3)" != "$PYTHON" ] || PYTHON=/usr/bin/python3 # as in the page
    export demo="$PYTHON -S tests/demo/demo.py"
    export other="$PYTHON -S tests/fixtures/stall/stall.py build/fixtures lock_order"
    LIMIT=120
}

gdb_can_trace() { limited 60 gdb -nx -batch -ex run --args /bin/true && [ "$status" -eq 0 ] && [[ $output == *'exited normally'* ]]; }

# That the page has the command so.
stands_in_page() { grep -qxF -- "\$ $1" "$page" || told "the page does not have the command: $1"; }

# That the output of this command, in $output, is what the page shows.
is_as_shown() {
    [ "$PYTHON $PY_KIND $PY_VERSION" = '/usr/bin/python3 static 3.11' ] || return 0
    local printed=$output
    printf '%s\n' "$printed" >printed
    output=$("$ROOT/tests/shown" "$page" "$1" printed 2>&1) || told "not as shown: $output" || return
    output=$printed
}

teardown() { unhang; }

# Runs the command as in the page; its files go to the test's own folder instead of /tmp.
step() {
    stands_in_page "$1"
    limited "$LIMIT" bash -c "${1//\/tmp\//$BATS_TEST_TMPDIR/}"
    is_as_shown "$1"
}

# As that, for one that hangs: until its output has a line that matches $2. The page's `timeout 10` is this test's business.
hanging_step() {
    stands_in_page "timeout 10 $1"
    local program end=$((SECONDS + LIMIT))
    timeout -s KILL "$LIMIT" bash -c "exec $1" >out 2>&1 3>&- </dev/null &
    program=$!
    until grep -q -e "$2" out || [ "$SECONDS" -ge "$end" ] || ! kill -0 "$program" 2>/dev/null; do sleep 0.2; done
    kill -KILL -- "-$program" 2>/dev/null || :
    wait "$program" || status=$?
    output=$(cat out)
    IFS=$'\n' read -r -d '' -a lines <<<"$output" || :
    has_line "*${2//\\/}*"
    is_as_shown "timeout 10 $1"
}

@test "0. can it be served" {
    step './run-with-shim.sh --check $demo'
    is_status 0
    has_line 'gilshim: repair held: *'
}

@test "1. it hangs: who holds the GIL" {
    require "$NEEDS_KERNEL" has_kernel
    hanging_step './run-with-shim.sh -s 2 $other' 'gilshim:   advice:'
    has_line '*stall: deadlock between libengine.so and libstore.so: * waits for the GIL * called by libengine.so!engine_enter_python+0x*store_lock+0x*'
    has_line '*  holds: thread *'
    has_python_stack '*tests/fixtures/stall/stall.py", line * in lock_order'
}

# Only up to 3.11 is it a deadlock that follows, and is foreseen: Debian's own is 3.11.
@test "2. what would be repaired" {
    require "needs Debian's python3.11" [ "$PY_VERSION" = 3.11 ]
    hanging_step './run-with-shim.sh -m observe $demo' 'gilshim:   advice:'
    has_line "*gilshim: DEADLOCK would follow: engine.so attached a state that is not this thread's (PyEval_AcquireThread at engine.so!engine_call_back+0x*); PyGILState_Ensure by codec.so!encode+0x*"
    [ "$(count_lines '*gilshim: [a-zA-Z]*')" -eq 1 ]
    has_line '*tests/demo/demo.py", line * in on_engine_thread'
}

@test "3. it runs repaired" {
    step './run-with-shim.sh -v $demo'
    is_status 0
    has_line '*5. done.'
    has_line '*gilshim: repaired held: *engine.so!engine_call_back+0x*'
    has_line '*gilshim: summary'
    has_line '*gilshim:   engine.so *'
}

@test "4. JSON and the timeline" {
    step './run-with-shim.sh -v -j -o /tmp/gil-log -t /tmp/gil-timeline $demo'
    is_status 0
    has_no_line '*gilshim*'
    step 'cat /tmp/gil-log.*'
    has_line '{*"type": "repair", "name": "held"*"caller": "engine.so!engine_call_back+0x*"*}'
    has_line '{*"type": "summary"*}'
    limited 60 "$PYTHON" -S -c 'import json, glob
for log in glob.glob("gil-log.*"):
    for line in open(log):
        json.loads(line)
for timeline in glob.glob("gil-timeline.*"):
    json.load(open(timeline))'
    is_status 0
    is_silent
    step "grep -h -m 1 'holds the GIL' /tmp/gil-timeline.*"
    has_line '{*"name":"holds the GIL"*"ts":*"dur":*'
}

@test "5. suppressions" {
    step "printf '%s\\n' '# reported, ticket 4711' 'moved:engine.so!engine_call_back' 'called_from_lib:engine.so' >/tmp/known.supp"
    is_status 0
    step './run-with-shim.sh -v -S /tmp/known.supp $demo'
    is_status 0
    has_line '*5. done.'
    has_no_line '*gilshim: repaired *: *: *'
    has_line '*gilshim: suppressed * called_from_lib:engine.so'
}

@test "6. strict, for CI" {
    step './run-with-shim.sh -m strict $demo; echo "status $?"'
    if python_before 3.12; then
        has_line '*gilshim: DEADLOCK would follow: engine.so attached *engine.so!engine_call_back+0x*'
    else # CPython would abort
        has_line '*gilshim: FATAL would follow: *engine.so!engine_call_back+0x*'
    fi
    has_line 'status 66'
    has_no_line '*5. done.'
}

@test "7. the debugger" {
    require "needs a gdb that may trace" gdb_can_trace
    LIMIT=240
    export HOME=$PWD
    step "GILSHIM_GDB_ARGS='-batch -ex bt' ./run-with-shim.sh -d \$demo"
    has_line '*hit Breakpoint 1, gilshim_first_report *'
    has_line '#* engine_call_back *'
}

@test "README's summary" {
    page=$ROOT/README.md
    PATH=/usr/bin:$PATH step './run-with-shim.sh python3 -S tests/demo/demo.py'
}

@test "shim/doc/pid.md's first line" {
    require "needs Debian's python3.11" [ "$PY_VERSION" = 3.11 ]
    page=$ROOT/shim/doc/pid.md
    # shellcheck disable=SC2086 # words
    hang $demo
    explains '*gilshim: stall: deadlock of a thread with itself, in engine.so, *'
    is_as_shown './run-with-shim.sh --pid 21191'
}

# A page whose outputs are not these is noticed.
@test "what the page shows can't go stale" {
    local copy=$BATS_TEST_TMPDIR/page.md
    ./run-with-shim.sh -v "$PYTHON" -S tests/demo/demo.py >printed 2>&1
    shown() { limited 30 "$ROOT/tests/shown" "$copy" 'command' printed; }
    { printf '%s\n' '```console' '$ command' && cat printed && echo '```'; } >"$copy"
    shown
    is_status 0
    sed -i 's/0x[0-9a-f]*/0x1/g; s/==[0-9]*==/==7==/; s/tid [0-9]*/tid 8/; s/[0-9][0-9.]*us/9us/; s/  *summary/ summary/' "$copy"
    shown
    is_status 0
    local change
    # A line less, one more, another word, another count, the end missing.
    for change in /summary/d '/summary/s/$/\nmore/' s/summary/summery/ 's/\(engine.so  *\)3 /\14 /' '/states  /d'; do
        sed "$change" "$copy" >changed.md
        limited 30 "$ROOT/tests/shown" changed.md command printed
        [ "$status" -eq 1 ] || told "not noticed: $change"
    done
    limited 30 "$ROOT/tests/shown" "$copy" another printed
    is_status 1
}
