# For tests of processes that hang, and are looked at from outside (run-with-shim.sh --pid).
# shellcheck disable=SC2034,SC2154 # helpers.bash's variables

# hang CMD...: starts it bare, in the background, with its output in $BATS_TEST_TMPDIR/program, and sets $pid. It is killed after
# LIMIT seconds, or by `unhang`. SHIM=LIBRARY: not bare, but with this library, which repairs nothing and keeps a journal. The
# shell lets programs in the background ignore SIGQUIT, which is to end it.
hang() {
    require "$NEEDS_KERNEL" has_kernel
    rm -f "$BATS_TEST_TMPDIR/pid"
    # shellcheck disable=SC2016 # the inner shell expands it
    timeout -s KILL "$((${LIMIT:-60} * ${GILSHIM_TEST_PATIENCE:-1}))" env --default-signal=INT,QUIT -u LD_PRELOAD -u GILSHIM_OPTIONS \
        ${SHIM:+LD_PRELOAD="$SHIM" GILSHIM_OPTIONS=repair=none:history=64} \
        sh -c 'echo $$ >"$0"; exec "$@"' "$BATS_TEST_TMPDIR/pid" "$@" >"$BATS_TEST_TMPDIR/program" 2>&1 3>&- </dev/null &
    program=$!
    until [ -s "$BATS_TEST_TMPDIR/pid" ]; do sleep 0.05; done
    pid=$(cat "$BATS_TEST_TMPDIR/pid")
}
unhang() {
    [ -z "${program:-}" ] || kill -KILL -- "-$program" 2>/dev/null || :
    [ -z "${program:-}" ] || wait "$program" 2>/dev/null || :
    program=''
}

# until_so CMD...: waits until it succeeds. Fails if the process that hangs ends before, or after LIMIT seconds.
until_so() {
    local end=$((SECONDS + ${LIMIT:-60} * ${GILSHIM_TEST_PATIENCE:-1}))
    until "$@" 2>/dev/null; do
        if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$pid" 2>/dev/null; then
            status=none
            told "it never came to this: $*; the program said: $(cat "$BATS_TEST_TMPDIR/program")" || return
        fi
        sleep 0.05
    done
}
# says REGEX: waits until the program has printed a line that matches, to its end: with PYTHONUNBUFFERED each word of a line is a
# write of its own, and what the program computes in between may take seconds.
has_said() {
    local line
    while read -r line; do
        [[ $line =~ $1 ]] && return
    done <"$BATS_TEST_TMPDIR/program"
    return 1
}
says() { until_so has_said "$1"; }

look_at() { limited "${LIMIT:-60}" "$ROOT/run-with-shim.sh" --pid "$@"; }

# refuses PATTERN: the last look failed, with this one line.
refuses() {
    is_status 125
    [ "${#lines[@]}" -eq 1 ] || told "more than one line"
    has_line "gilshim-inspect: $1"
}

# explains PATTERN [OPTION...]: looks at the process until the first line matches, for half of LIMIT: it has yet to begin to hang,
# and holds the GIL for a while before that on a busy machine.
explains() {
    local end=$((SECONDS + ${LIMIT:-60} * ${GILSHIM_TEST_PATIENCE:-1} / 2)) pattern=$1
    shift
    while :; do
        look_at "$pid" "$@"
        # shellcheck disable=SC2254 # a pattern on purpose
        case $status:${lines[0]:-} in 0:$pattern) return 0 ;; esac
        if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$pid" 2>/dev/null; then break; fi
    done
    told "the first line does not match: $pattern; the program said: $(cat "$BATS_TEST_TMPDIR/program")"
}

# traces FILE: what anybody could see of the process if something had been done to it. Not how often its threads were scheduled.
traces() {
    {
        cat "/proc/$pid/maps"
        find "/proc/$pid/fd" -type l -printf '%f %l\n' | sort
        local task
        for task in "/proc/$pid/task"/*; do
            echo "${task##*/}"
            grep -vE '^(State|SigQ|nonvoluntary_ctxt_switches|voluntary_ctxt_switches|Vm[A-Z]*|Rss[A-Z][a-z]*|Cpus_allowed.*):' "$task/status"
        done
    } >"$1"
}
