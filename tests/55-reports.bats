# The forms of reports, and that no problem with their output harms the host. On a static and a shared interpreter, 2.7 and 3.8,
# if they are installed.

load helpers

setup_file() {
    use_python static || use_python shared
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    LIMIT=60
}

# python WHAT: sets `command` to the program that runs it.
program() { command=("$PYTHON" -S -c "import sys; sys.path.insert(0, '$FIXTURES'); import misuse; misuse.run('$1')"); }

# Runs a test's body for each of the interpreters.
on_each() {
    local tag kind version build python include
    while IFS=$'\t' read -r tag kind version build python include _; do
        case $tag in 2.7 | 3.8) ;; *) [ "$tag" = "$PY_TAG" ] || continue ;; esac
        [ "$python" != - ] || continue
        PYTHON=$python FIXTURES=$ROOT/build/fixtures/$tag "$@" || told "on $tag"
    done <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}"
}

# Each line of the file is a JSON object, and $2, a Python expression over `reports`, is true.
json_holds() {
    /usr/bin/env python3 - "$1" "$2" <<'PY'
import json, sys
reports = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert all(isinstance(report, dict) and report["pid"] and report["type"] for report in reports)
assert eval(sys.argv[2]), reports
PY
}

a_repair_in_one_line() {
    program mix
    SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
    [ "$(count_lines '*repaired held*')" -eq 1 ]
    has_line '==*== gilshim: repaired held: *: PyEval_AcquireThread by misuse.so!mix+0x* on tid [0-9]* "*"*'
    has_no_line '*native stack*'
}
@test "a repair is one line at verbosity 1" { on_each a_repair_in_one_line; }

a_repair_whole() {
    program mix
    SHIM_OPTIONS=verbosity=2:history=16 works_with "${command[@]}"
    has_line '==*== gilshim:   native stack*'
    has_line '==*== gilshim:     #* misuse.so!mix+0x*'
    has_line '==*== gilshim:   last events of tid *'
    has_line '==*== gilshim:     -* s new by PyThreadState_New tstate 0x* from misuse.so!mix+0x*'
    has_line '==*== gilshim:   advice: *pybind11 #1276*'
}
@test "verbosity=2 tells all that is known" { on_each a_repair_whole; }

json_lines() {
    program mix
    rm -f log.*
    SHIM_OPTIONS=verbosity=2:history=16:summary=1:log_format=json:log_path=$PWD/log works_with "${command[@]}"
    is_silent
    json_holds log.* 'any(r["type"] == "repair" and r["name"] == "held" and r["module"] == "misuse.so"
        and any(e["event"] == "new" for t in r["threads"] for e in t["events"]) for r in reports)'
    json_holds log.* 'reports[-1]["type"] == "summary" and any(m["module"] == "misuse.so" and m["acquisitions"] >= 3
        for m in reports[-1]["modules"]) and any(s["name"] == "held" and s["count"] == 1 for s in reports[-1]["sites"])'
}
@test "log_format=json: every line is an object" { on_each json_lines; }

# A nested Release reads no clock: it was after the Ensure before it, the pause was after both, and the report must not say
# more than that. The pairs' Ensures have their own times.
nested_pairs() {
    local command=("$PYTHON" -S -c "
import sys, ctypes, time
sys.path.insert(0, '$FIXTURES')
import misuse
api = ctypes.PyDLL(None)
for i in range(2):
    api.PyGILState_Release(api.PyGILState_Ensure())
    time.sleep(.2)
misuse.run('mix-in-handler')")
    rm -f log.*
    SHIM_OPTIONS=verbosity=2:history=16 works_with "${command[@]}"
    # How long ago, the JSON below says: on a busy machine it may be seconds.
    has_line '==*== gilshim:     -*.* s ensure (LOCKED) tstate 0x*'
    has_line '==*== gilshim:     -*.* s or later: release (LOCKED) tstate 0x*'
    has_no_line '* s release (LOCKED)*'
    SHIM_OPTIONS=verbosity=2:history=16:log_format=json:log_path=$PWD/log works_with "${command[@]}"
    json_holds log.* '(lambda events: [e["event"] for e in events].count("release") == 2
        and all(a["event"] == "ensure" and 0.2 < a["ago"] < 30 for a, b in zip(events, events[1:]) if b["event"] == "release")
        and all(("ago_at_most" in e and "ago" not in e) == (e["event"] == "release") for e in events)
        and all(abs(b["ago_at_most"] - a["ago"]) < 1e-5 for a, b in zip(events, events[1:]) if b["event"] == "release"))(
            [e for r in reports if r.get("name") == "held" for t in r["threads"] for e in t["events"]])'
}
@test "a nested release has no time of its own, and says so" { on_each nested_pairs; }

# The first time by the rules, then in the gear of shim/hooks/lifecycle.h.
recorded_lives() {
    program lives
    rm -f log.*
    SHIM_OPTIONS=verbosity=0:history=64:summary=1:log_format=json:log_path=$PWD/log works_with "${command[@]}"
    json_holds log.* '[(r["states_made"], r["states_deleted"]) for r in reports if r["type"] == "summary"] == [(7, 7)]'
    rm -f log.*
    SHIM_OPTIONS=verbosity=2:history=64:log_format=json:log_path=$PWD/log works_with "${command[@]}"
    # The last sixteen events are told.
    json_holds log.* '(lambda names: [names.count(name) for name in ("new", "swap", "clear", "detach", "delete")] == [2, 2, 2, 2, 2]
        and names.count("attach") == 3)(
            [e["event"] for r in reports if r.get("name") == "held" for t in r["threads"] for e in t["events"]][:13])'
}
@test "states that live one after the other are recorded each time" { on_each recorded_lives; }

@test "summary=1 fits 80 columns, and counts" {
    program mix-1000
    SHIM_OPTIONS=summary=1 works_with "${command[@]}"
    has_line '==*== gilshim:   interpreter  CPython *'
    has_line '==*== gilshim:   repaired     held: *'
    has_line '==*== gilshim:   misuse.so *'
    has_line '==*== gilshim:   threads      100[01] seen, 1 alive*'
    has_line '==*== gilshim:   states       1000 made by PyThreadState_New, 1000 deleted'
    local line
    for line in "${lines[@]}"; do [ "${#line}" -le 80 ] || told "too long: $line"; done
    has_no_line $'*\033*'
    has_no_line '*...*'
    SHIM_OPTIONS=summary=1:color=always works_with "${command[@]}"
    has_line $'*\033*'
}

# Of a library under a name that is as long as those of pip's wheels, with its package, which its name does not tell.
@test "names are whole in a summary, in its JSON and in a report, however long" {
    local name=a_name_that_goes_on_and_on_as_they_do.cpython-311-x86_64-linux-gnu.so line
    mkdir -p site-packages/sorting
    cp "$FIXTURES/misuse.so" "site-packages/sorting/$name"
    local runner=("$PYTHON" -S -c "
import importlib.util as util
spec = util.spec_from_file_location('misuse', 'site-packages/sorting/$name')
misuse = util.module_from_spec(spec)
spec.loader.exec_module(misuse)
misuse.run('mix')")
    SHIM_OPTIONS=summary=1:verbosity=1 works_with "${runner[@]}"
    has_line "==*== gilshim: repaired held: sorting/$name: *by $name!mix+0x*"
    has_line "==*== gilshim:             [0-9]  $name"
    has_line '==*== gilshim:                !mix+0x*'
    has_line "==*== gilshim:   sorting/$name"
    for line in "${lines[@]}"; do
        case $line in *repaired*:* | *"$name"*) ;; *) [ "${#line}" -le 80 ] || told "too long: $line" ;; esac
    done
    has_no_line '*...*'
    SHIM_OPTIONS=summary=1:log_format=json works_with "${runner[@]}"
    has_line "{*\"caller\": \"$name!mix+0x*\"module\": \"sorting/$name\"*}"
}

@test "a summary has the names whole, and what goes on at the end" {
    cp "$ROOT/build/fixtures/libengine.so" ./libengine_of_a_name_that_is_long.so
    SHIM_OPTIONS=summary=1 with_shim timeout -s TERM "$((4 * ${GILSHIM_TEST_PATIENCE:-1}))" "$PYTHON" -S -c "
import ctypes
engine = ctypes.CDLL('./libengine_of_a_name_that_is_long.so')
engine.engine_enter_python()
waits = ctypes.PyDLL('$ROOT/build/fixtures/libengine.so')
waits.engine_start()
ctypes.PyDLL(None).sleep(100)"
    is_status 124
    has_line '==*== gilshim:   libengine_of_a_name_that_is_long.so'
    has_line '==*== gilshim:   libengine.so * 0 * 1 *[0-9]s *[0-9]s *'
}

@test "a summary also where the process ends by _exit or abort" {
    SHIM_OPTIONS=summary=1 with_shim "$PYTHON" -S -c 'import os; os._exit(3)'
    is_status 3
    has_line '*gilshim: summary'
    program thread-get
    SHIM_OPTIONS=summary=1 with_shim "${command[@]}"
    is_status 134
    has_line '*gilshim: summary'
}

@test "color: NO_COLOR, CLICOLOR_FORCE, and a file gets none" {
    program mix
    CLICOLOR_FORCE=1 SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
    has_line $'*\033*'
    NO_COLOR=1 CLICOLOR_FORCE=1 SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
    has_no_line $'*\033*'
    SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
    has_no_line $'*\033*'
}

# As if on a terminal.
on_a_terminal() {
    limited 60 python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) != 0)' \
        env LD_PRELOAD="$GILSHIM_LIB" GILSHIM_OPTIONS="verbosity=1${OPTIONS:+:$OPTIONS}" "$@"
}

@test "color: on a terminal, unless it is dumb" {
    program mix
    TERM=xterm on_a_terminal "${command[@]}"
    is_status 0
    has_line $'*\033*'
    TERM=dumb on_a_terminal "${command[@]}"
    is_status 0
    has_line '*repaired held*'
    has_no_line $'*\033*'
    unset TERM
    on_a_terminal "${command[@]}"
    has_no_line $'*\033*'
    TERM=dumb OPTIONS=color=always on_a_terminal "${command[@]}"
    has_line $'*\033*'
}

@test "suppressions leave reports out, and those that matched are listed" {
    program mix
    printf '%s\n' '# ours' 'held:misuse.so!mi*' 'called_from_lib:^nothing$' >rules
    SHIM_OPTIONS=verbosity=1:suppressions=$PWD/rules works_with "${command[@]}"
    has_no_line '*repaired held*'
    has_line '*gilshim: suppressed 1 held:misuse.so!mi\*'
    has_no_line '*suppressed*nothing*'
    echo 'called_from_lib:^misuse.so$' >rules
    LIMIT=5 SHIM_OPTIONS=mode=strict:suppressions=$PWD/rules with_shim "${command[@]}"
    has_no_line '*would follow*'
    SHIM_OPTIONS=suppressions=$PWD/none works_with "${command[@]}"
    has_line "*warning: *suppressions*"
    echo 'nonsense' >rules
    SHIM_OPTIONS=suppressions=$PWD/rules works_with "${command[@]}"
    has_line '*warning: *"nonsense"*'
}

# The function's name is in the module's file only, which would be read, page by page, for each of 5000.
@test "suppressions are asked once for each place" {
    echo 'held:misuse.so!mix_often' >rules
    SHIM_OPTIONS=verbosity=1:suppressions=$PWD/rules works_with "$PYTHON" -S -c "
import sys, resource
sys.path.insert(0, '$FIXTURES')
import misuse
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
misuse.run('mix-often')
print('%d faults' % (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))"
    has_line '*gilshim: suppressed 5000 held:misuse.so!mix_often'
    [[ $output =~ ([0-9]+)\ faults ]]
    [ "${BASH_REMATCH[1]}" -lt 2500 ] || told "the file was read again and again"
}

@test "exitcode= is the status of a process that something was reported of, and of no other" {
    program mix
    SHIM_OPTIONS=mode=observe:exitcode=9 with_shim "${command[@]}"
    [ "$status" -ne 0 ]
    SHIM_OPTIONS=exitcode=9 works_with "${command[@]}"
    SHIM_OPTIONS=exitcode=9 with_shim "$PYTHON" -S -c 'import sys; sys.exit(4)'
    is_status 4
}

@test "each child process has a log of its own" {
    SHIM_OPTIONS=verbosity=1:summary=1:log_path=$PWD/log works_with "$PYTHON" -S -c "
import os, sys
sys.path.insert(0, '$FIXTURES')
import misuse
pid = os.fork()
misuse.run('mix')
if pid: os.waitpid(pid, 0)"
    [ "$(find . -name 'log.*' | wc -l)" -eq 2 ]
    for log in log.*; do grep -q "^==${log#log.}== gilshim: summary" "$log"; done
}

# ---- what the output meets -------------------------------------------------------------------------------------------

@test "a thousand threads, all reporting" {
    program mix-1000
    SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
    [ "$(count_lines '*repaired held*')" -eq 1 ]
    SHIM_OPTIONS=verbosity=2:history=32:log_format=json:log_path=$PWD/log works_with "${command[@]}"
    json_holds log.* 'len(reports) > 1'
}

@test "stderr closed, full, or a pipe that nobody reads any more" {
    program mix
    local options
    for options in verbosity=2:history=16:summary=1 verbosity=2:summary=1:log_format=json; do
        SHIM_OPTIONS=$options works_with sh -c '"$@" 2>&-' - "${command[@]}"
        SHIM_OPTIONS=$options works_with sh -c '"$@" 2>/dev/full' - "${command[@]}"
        # What CPython does about SIGPIPE is not what an embedding program does.
        SHIM_OPTIONS=$options works_with sh -c '{ "$@" 2>&3; echo $? >status; } 3>&1 >/dev/null | true; read -r status <status; exit "$status"' \
            - "$PYTHON" -S -c "import signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL)
${command[3]}"
    done
}

@test "reports in a signal handler" {
    local what
    for what in in-handler mix-in-handler; do
        program "$what"
        SHIM_OPTIONS=verbosity=2:history=16 works_with "${command[@]}"
    done
    has_line '*repaired held: *PyEval_AcquireThread by misuse.so!attach_second+0x*'
}

# tracemalloc takes the GIL state inside every malloc.
@test "reports inside malloc" {
    require "2.7 has no tracemalloc" python_from 3
    SHIM_OPTIONS=verbosity=2:history=16 works_with "$PYTHON" -S -c "
import sys, tracemalloc
sys.path.insert(0, '$FIXTURES')
tracemalloc.start(5)
import misuse
for i in range(20): misuse.run('mix')"
    has_line '*repaired held*'
}
