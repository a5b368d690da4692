# GILSHIM_OPTIONS: what each option does, and that a wrong option is reported and does no harm.

load helpers

# The demo's two modules, in a program that three times, at one place, attaches a second state while it holds the GIL:
# the repair `held`.
setup_file() {
    use_python static || use_python shared
    "$ROOT/tests/demo/build" "$PYTHON" "$BATS_FILE_TMPDIR/modules"
    cat >"$BATS_FILE_TMPDIR/mixed.py" <<'PY'
import os, sys
import engine, codec
engine.run(lambda who: None)
for i in range(3):
    codec.encode(lambda who: None)
sys.stdout.write("pid %d\n" % os.getpid())
PY
    export PYTHONPATH=$BATS_FILE_TMPDIR/modules
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    mixed=("$PYTHON" -S "$BATS_FILE_TMPDIR/mixed.py")
    LIMIT=10
    LIMIT_BARE=2
}

# Runs the program under these options; it must end well.
under() { SHIM_OPTIONS=$1 works_with "${mixed[@]}"; }
# Sets $pid to the program's, from its only line of output.
find_pid() {
    local line
    for line in "${lines[@]}"; do case $line in 'pid '*) pid=${line#pid } ;; esac done
    [ -n "$pid" ]
}

@test "without options: it works, and nothing is printed" {
    fails_without "${mixed[@]}"
    under ''
    [ "${#lines[@]}" -eq 1 ]
    has_line "pid *"
    under ':::'
    [ "${#lines[@]}" -eq 1 ]
}

@test "help=1 prints every option with its default, and the program runs" {
    under help=1
    has_line "pid *"
    local option
    for option in 'help=*default 0' 'mode=*default repair' 'repair=*default all' 'verbosity=*default 0' \
        'log_path=*default stderr' 'check=*default 0' 'log_format=*default text' 'color=*default auto' \
        'crash=*default 0' 'summary=*default 0' 'history=*default 0' 'timeline=*default none' 'stall=*default 0' \
        'suppressions=*default none' 'keep=*default 0' 'check_action=*default report' 'exitcode=*default none*66'; do
        has_line "==*== gilshim: *$option*"
    done
    under help=0
    [ "${#lines[@]}" -eq 1 ]
}

@test "an unknown option: one line of warning, the others count" {
    under frob=1
    [ "${#lines[@]}" -eq 2 ]
    has_line '==*== gilshim: warning: unknown option "frob"*'
    under frob=1:verbosity=1:frobnicate
    [ "$(count_lines '*warning: unknown option*')" -eq 2 ]
    has_line '*warning: unknown option "frobnicate"*'
    has_line '*repaired held*'
    under verbosty=1
    has_line '==*== gilshim: warning: unknown option "verbosty" in GILSHIM_OPTIONS ignored; did you mean verbosity=? help=1 lists *'
    SHIM_OPTIONS=frob=1:mode=off fails_with "${mixed[@]}"
    has_line '*warning: unknown option "frob"*'
}

@test "a bad value: one line of warning, and as if it had not been there" {
    local pair
    for pair in mode=frob mode= mode verbosity=3 verbosity=-1 verbosity=1x verbosity= help=2 check=yes repair=frob \
        repair=held,frob repair=held,,share repair= log_path= log_format=xml color=red summary=2 history=4097 history=x \
        check=call check=calls,locks check_action=no stall=x stall=1.2345 stall=. exitcode=256 exitcode=-1 timeline= suppressions=; do
        under "$pair"
        [ "${#lines[@]}" -eq 2 ] || told "with $pair"
        has_line "==*== gilshim: warning: *\"$pair\"*"
    done
    under mode=frob:verbosity=1
    has_line '*repaired held*'
    under repair=frob:history=4097
    has_line '*"repair=frob"*; repair takes *(NAME is duplicate, held, *, share)'
    has_line '*"history=4097"*; history takes N (at most 4096)'
}

@test "a very long string of options does no harm" {
    under "$(printf 'frob=%05000d' 1)"
    [ "$(count_lines '*warning*')" -eq 1 ]
    under "log_path=$(printf '%05000d' 1)"
    has_line "pid *"
    under "repair=$(printf 'held,%.0s' $(seq 1000))held"
    has_line "pid *"
}

@test "mode=off: as without the shim" {
    SHIM_OPTIONS=mode=off fails_with "${mixed[@]}"
    has_no_line "*gilshim*" # CPython itself may say something: 3.13 aborts where 3.11 hangs
    under mode=off:mode=repair
}

@test "repair= switches repairs off and on by name" {
    local list
    for list in none -held all,-held duplicate none,duplicate share; do
        SHIM_OPTIONS=repair=$list fails_with "${mixed[@]}"
    done
    for list in all held duplicate,held held,duplicate,share -share all,-share,-moved none,held,duplicate; do
        under repair=$list
    done
}

@test "verbosity=1 tells each repair once for each place: what, thread, module and function" {
    under verbosity=1
    find_pid
    [ "$(count_lines '*repaired held*')" -eq 1 ]
    # On the main thread, whose id is the process's.
    has_line "==$pid== gilshim: repaired held: *: PyEval_AcquireThread by engine.so!engine_call_back+0x* on tid $pid \"*\"*"
    has_no_line '*warning*'
}

@test "verbosity=0 tells nothing, 2 more than 1" {
    under verbosity=0
    [ "${#lines[@]}" -eq 1 ]
    under verbosity=1
    local ordinary=${#lines[@]}
    under verbosity=2
    [ "${#lines[@]}" -gt "$ordinary" ]
}

@test "log_path=FILE: into FILE.PID, and nothing on stderr" {
    under verbosity=1:log_path="$PWD/log"
    find_pid
    [ "${#lines[@]}" -eq 1 ]
    [ "$(echo log*)" = "log.$pid" ]
    grep -q "^==$pid== gilshim: repaired held: " "log.$pid"
}

@test "log_path=: %p is the pid, %h the host, %e the program, %% a per cent sign" {
    under verbosity=1:log_path="$PWD/a-%p-%h-%e-%%"
    find_pid
    [ "$(echo a-*)" = "a-$pid-$(uname -n)-${PYTHON##*/}-%" ]
}

@test "log_path=: each process has its own file" {
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/log works_with sh -c '"$@" && "$@"' - "${mixed[@]}"
    [ "$(find . -name 'log.*' | wc -l)" -eq 2 ]
    grep -L 'repaired held' log.* >without
    [ ! -s without ]
}

@test "log_path=: a file that is there already is added to, a link is not followed" {
    # exec keeps the pid, so the file's name is known beforehand.
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/log works_with sh -c 'echo before >log.$$; exec "$@"' - "${mixed[@]}"
    find_pid
    [ "$(head -n 1 "log.$pid")" = before ]
    grep -q 'repaired held' "log.$pid"
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/link works_with sh -c 'ln -s target link.$$; exec "$@"' - "${mixed[@]}"
    has_line '==*== gilshim: warning: *'
    has_line '*repaired held*'
    [ ! -e target ]
}

@test "log_path=stdout and stderr" {
    local stream
    for stream in stdout stderr; do
        SHIM_OPTIONS=verbosity=1:log_path=$stream with_shim sh -c '"$@" >stdout 2>stderr' - "${mixed[@]}"
        is_status 0
        grep -q 'repaired held' $stream
    done
    [ "$(grep -l 'repaired held' stdout stderr)" = stderr ]
}

@test "log_path= that can't be written: one line of warning, then stderr" {
    local path
    for path in /nowhere/log "$PWD/no-folder/log" /dev/null/log; do
        under verbosity=1:log_path="$path"
        [ "$(count_lines '*warning*')" -eq 1 ]
        has_line "==*== gilshim: warning: *$path*"
        has_line '*repaired held*'
    done
}

@test "a full disk and a closed stderr do no harm" {
    SHIM_OPTIONS=verbosity=2 works_with sh -c '"$@" 2>/dev/full' - "${mixed[@]}"
    [ "${#lines[@]}" -eq 1 ]
    SHIM_OPTIONS=verbosity=2 works_with sh -c '"$@" 2>&-' - "${mixed[@]}"
    has_line "pid *"
}

@test "what is not Python stays silent and leaves no file, whatever is asked" {
    local options
    for options in '' verbosity=1 "verbosity=1:log_path=$PWD/log" mode=off frob=1; do
        SHIM_OPTIONS=$options works_with /bin/true
        is_silent
        SHIM_OPTIONS=$options works_with sh -c 'true | cat; printf x | wc -c'
        [ "$output" = 1 ]
    done
    [ -z "$(ls)" ]
}

@test "options reach the program by the wrapper" {
    limited 30 "$ROOT/run-with-shim.sh" -v -o log "${mixed[@]}"
    is_status 0
    find_pid
    grep -q 'repaired held' "log.$pid"
    GILSHIM_OPTIONS=verbosity=1 limited 30 "$ROOT/run-with-shim.sh" -q "${mixed[@]}"
    [ "${#lines[@]}" -eq 1 ]
}

# A value for each key of the library's own list, so that a new one is not left out.
value_of() {
    case $1 in
    mode) echo observe:exitcode=9 ;;
    repair) echo -orphan ;;
    verbosity) echo 2 ;;
    log_path) echo "$PWD/log" ;;
    log_format) echo json ;;
    color) echo always ;;
    history) echo 16 ;;
    timeline) echo "$PWD/t" ;;
    timeline_mb) echo 2 ;;
    stall) echo 5 ;;
    suppressions) echo "$PWD/rules" ;;
    exitcode) echo 9 ;;
    check_action) echo abort ;;
    hold) echo 50 ;;
    help | keep | crash | summary | timeline_wait) echo 1 ;;
    esac
}

@test "every two options together: the program ends as it should, each is understood, and each is seen to work" {
    local keys key other options
    echo moved:nothing >rules
    SHIM_OPTIONS=help=1 works_with "${mixed[@]}"
    keys=$(printf '%s\n' "${lines[@]}" | sed -n 's/.*gilshim:   \([a-z_]*\)=.*(default .*/\1/p' | grep -vx check)
    [ "$(wc -w <<<"$keys")" -ge 15 ]
    for key in $keys; do
        for other in $keys; do
            [[ $key < $other ]] || continue
            options=$key=$(value_of "$key"):$other=$(value_of "$other")
            rm -f log.* t.*
            SHIM_OPTIONS=$options with_shim "${mixed[@]}"
            case $options in
            # From 3.13 on CPython ends the process by SIGABRT where it would hang before.
            *mode=observe*) if python_before 3.13; then is_status 9; else is_status 134; fi ;;
            *exitcode=9*verbosity=2*) is_status 9 ;;
            *) is_status 0 ;;
            esac
            has_no_line '*warning*'
            case :$options: in *:timeline=*) [ -n "$(find . -name "t.*" -size +0)" ] || told "$options: no timeline" ;; esac
            case :$options: in *:log_path=*:summary=* | *:help=*:log_path=*) [ -n "$(find . -name "log.*" -size +0)" ] || told "$options: no log" ;; esac
            case :$options: in *:log_path=*) has_no_line '*gilshim*' ;; esac
        done
    done
}
