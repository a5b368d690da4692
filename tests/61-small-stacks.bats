# The shim uses less than 4 KiB of a host's stack, where PTHREAD_STACK_MIN is 16, in every mode and for every kind of report
# (shim/system/aside.h). The host's thread has a painted stack (tests/fixtures/reports/paint.c). What the thread uses bare is
# subtracted.

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    export LD_BIND_NOW=1 # the loader's own way takes 3 KiB
}

# stack_of COMMAND...: the bytes that the thread used, and those for a signal's frame.
stack_of() {
    "$@"
    [[ $output =~ :\ ([0-9]+)\ bytes\ of\ stack,\ status\ [0-9]+,\ ([0-9]+)\ for ]] || told "no measure" || return
    used=${BASH_REMATCH[1]} frame=${BASH_REMATCH[2]}
}

# is_small WHAT BARE LIMIT PATTERN OPTIONS: WHAT takes no more than LIMIT bytes beyond those of BARE, bare, and a line of the
# log matches.
is_small() {
    local bare limit=$3
    rm -f log.* trace.*
    stack_of without "$FIXTURES/paint" "$2" || return
    bare=$used
    SHIM_OPTIONS=$5${5:+:}log_path=$PWD/log stack_of with_shim "$FIXTURES/paint" "$1" || return
    [ "$limit" -ne 0 ] || limit=$((3072 + frame))
    [ $((used - bare)) -le "$limit" ] || told "$1 with $5: $used bytes, $bare bare" || return
    cat log.* >all
    grep -q -e "$4" all || { cat all && told "$1 with $5: not told: $4"; }
}

# A signal's frame is the kernel's matter: 3 KiB on processors with AVX-512, which a call that is made does not need.
takes_little() {
    local whole=verbosity=2:history=64 all=verbosity=2:history=64:summary=1:timeline=$PWD/trace:stall=0.3 form
    for form in text json; do
        is_small take_mains take_mains 3072 . "$whole:log_format=$form" || return
        is_small release_nothing release_nothing 3072 'FATAL would follow\|"misuse"' "$whole:log_format=$form" || return
        is_small die live 0 summary "$all:log_format=$form" || return
    done
    is_small mix live 3072 'repaired held' "$whole" || return
    is_small mix live 3072 'DEADLOCK\|FATAL' "mode=observe:exitcode=3:$whole" || return
    is_small mix live 3072 'ending the process here' "mode=strict:$whole" || return
    is_small get_nothing get_nothing 3072 'FATAL:' '' || return
    is_small leave_process live 3072 summary "$all" || return
    is_small leave_with_gil live 3072 'repaired orphan' "$whole" || return
    is_small leave_state live 3072 'leaves thread states' "$whole" || return
    # Whoever is looked at by the stall watch is left alone: a coroutine may have just what it needs itself.
    is_small wait_for_gil wait_for_gil 2048 'gilshim: stall:' "$all" || return
    is_small hold_gil hold_gil 2048 'gilshim: stall:' "$all" || return
    printf '%s\n' 'held:nothing' 'called_from_lib:^paint$' >rules
    is_small mix live 3072 'suppressed [0-9]* called_from_lib:^paint' "verbosity=2:suppressions=$PWD/rules" || return
}

@test "less than 4 KiB of a host's stack, whatever is told" {
    local tag kind version build python include count=0
    while IFS=$'\t' read -r tag kind version build python include _; do
        case $tag in 3.8 | 3.12) ;; *) continue ;; esac
        FIXTURES=$ROOT/build/fixtures/$tag takes_little || told "on $tag"
        count=$((count + 1))
    done <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}"
    require "needs CPython 3.8 or 3.12 with a shared libpython" [ "$count" -gt 0 ]
}
