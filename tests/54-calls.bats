# The table of the system calls that the shim adds, by option (shim/doc/behaviour.md). Programs that mix APIs run in a sandbox (tests/fixtures/sandbox)
# that ends the process at any other call, except for the calls that an unmixed program makes bare. There are two lists of these: one
# for its start-up, and one for the time after it has announced that it has started.

load helpers

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# The calls in the table's row whose first cell begins so.
row() {
    local calls
    # shellcheck disable=SC2016 # the page's backticks
    calls=$(sed -n 's/^| '"$1"'[^|]*|\(.*\)|$/\1/p' "$ROOT/shim/doc/behaviour.md" | grep -o '`[a-z0-9_]*`' | tr -d '`')
    [ -n "$calls" ] || told "shim/doc/behaviour.md has no row: $1" || return
    echo "$calls"
}

# sandboxed OPTIONS-OF-SANDBOX... -- KIND: bare, or with the shim where $environment has it.
sandboxed() {
    local flags=()
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    without "$ROOT/build/fixtures/sandbox" "${flags[@]}" env "${environment[@]}" \
        "$PYTHON" -S -W ignore "$ROOT/tests/fixtures/sandbox/host.py" "$FIXTURES" "$2"
}

# Once for all tests. auditor=FILE, in a test: with that auditor, also where the shim is.
bare() {
    local environment=(${auditor:+"LD_AUDIT=$auditor"}) list=$BATS_FILE_TMPDIR/$PY_TAG${auditor:+.audited}.$1
    [ ! -e "$list" ] || return 0
    sandboxed -o "$list" -- "$1"
    bare_status=$status
    [ "$status" -ne 125 ] || skip 'needs seccomp with user notification'
}

# allowed STATUS KIND OPTIONS ROW...: the program ends with that status, with no calls but its own and those of the rows. Its own:
# what an unmixed program makes bare, or the same one (KIND=KIND-OF-BARE).
allowed() {
    local expected=$1 kind=${2%=*} own=${2#*=} options=$3 call
    shift 3
    {
        cat "$BATS_FILE_TMPDIR/$PY_TAG${auditor:+.audited}.$own"
        # Whatever glibc makes of malloc, of locks and of the ends of threads.
        for call in $(for name in 'none ' "$@"; do row "$name"; done) futex sched_yield restart_syscall mremap madvise fstat; do
            printf '%s\n' "start $call" "sealed $call"
        done
        row 'none, while the library is loaded' | sed 's/^/start /'
    } >allowed
    local environment=("LD_PRELOAD=$GILSHIM_LIB" "GILSHIM_OPTIONS=$options" ${auditor:+"LD_AUDIT=$auditor"})
    sandboxed -a allowed -- "$kind"
    # shellcheck disable=SC2015 # told fails
    [ "$status" -eq "$expected" ] && has_no_line 'sandbox: *' || told "$PY_TAG, $kind with '$options': status $status: ${output:0:300}"
}

# Runs the function for 3.12, 3.13, Debian's static one and one without a GIL, or whichever of them are here.
for_each_python() {
    local all tag tags=0
    all=${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}
    for tag in 3.12 3.13 deb3.11 deb3.13 3.13t; do
        GILSHIM_INTERPRETERS=$(awk -F '\t' -v tag="$tag" '$1 == tag' <<<"$all")
        [ -n "$GILSHIM_INTERPRETERS" ] || continue
        use_python shared || use_python static
        tags=$((tags + 1))
        "$@" || return
    done
    [ "$tags" -gt 0 ] || skip "needs 3.12, 3.13 or Debian's python3"
}

without_options() {
    bare unmixed || return
    allowed 0 mixed=unmixed '' || return
    allowed 0 mixed=unmixed keep=1 || return
}
@test "a plain preload makes the system calls of the table only" { for_each_python without_options; }

@test "with an auditor (LD_AUDIT): the same" {
    local auditor=$ROOT/build/fixtures/auditor.so
    for_each_python without_options
}

# Their own: as one may find them in any profile.
@test "the table allows a plain preload nothing that a sandbox forbids" {
    local call
    for call in $(row 'none ') $(row 'none, while the library is loaded'); do
        case $call in
        brk | mmap | munmap | mprotect | getpid | gettid | newfstatat | readlink | rt_sigprocmask | clock_nanosleep | exit) ;;
        openat | read | close) ;;
        *) told "not a harmless call: $call" ;;
        esac
    done
}

@test "a process without Python that may only read, write and exit looks up a function" {
    without "$ROOT/build/fixtures/strict"
    [ "$status" -ne 125 ] || skip 'needs seccomp'
    is_status 0
    SHIM_OPTIONS='' works_with "$ROOT/build/fixtures/strict"
}

with_messages() {
    bare unmixed || return
    allowed 0 mixed=unmixed verbosity=2:history=16:log_path="$PWD/log" messages '`log_path' '`history' || return
    allowed 3 mixed=unmixed summary=1:verbosity=1:exitcode=3 messages '`summary' '`exitcode' || return
    allowed 0 mixed=unmixed crash=1 '`crash' || return
    allowed 66 mixed=unmixed mode=strict messages '`exitcode' || return
    bare fatal || return
    allowed "$bare_status" fatal '' messages || return
    has_line '*gilshim: FATAL would follow: *' || return
}
with_locks() {
    bare locks || return
    allowed 0 locks check=locks '`check=locks' || return
    has_line '*gilshim: GIL error: lock_order: *' || return
    has_line '*gilshim: GIL error: waits_with_gil: *' || return
    allowed 134 locks check=locks:check_action=abort '`check=locks' || return
}
@test "check=locks: the same" { for_each_python with_locks; }

with_signals() {
    bare crash || return
    allowed 139 crash crash=1 '`crash' || return
    has_line '*gilshim: crash: *' || return
    bare killed || return
    allowed 143 killed summary=1 messages '`summary' || return
    has_line '*gilshim: summary*' || return
    allowed 143 killed timeline="$PWD/killed" '`timeline' || return
}
@test "a crash, and a signal that ends the process: the same" { for_each_python with_signals; }

@test "messages, a summary, a misuse that ends the process: the same" { for_each_python with_messages; }

with_watch() {
    bare unmixed || return
    allowed 0 mixed=unmixed timeline="$PWD/trace" '`timeline' || return
    [ "$(cat trace.* | wc -c)" -gt 1000 ] || return
    bare many || return
    allowed 0 many timeline="$PWD/many":timeline_wait=1 '`timeline' || return
    ! grep -q dropped many.* || told "timeline_wait=1 has lost events" || return
    bare stall || return
    allowed 0 stall stall=0.1 messages '`stall' || return
    has_line '*gilshim: stall: *' || return
}
@test "a timeline, the stall watch: the same" { for_each_python with_watch; }
