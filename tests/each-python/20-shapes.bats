#!/usr/bin/env bats
# The shapes of pybind11's issue 1276 (tests/fixtures/shapes). Without the shim each does what the table says, with it each ends
# well. Each is run in three forms: by a plain interpreter that imports extension modules, by an embedding program with the same
# libraries, and by a program in which all of it is one object.

load ../helpers

# What happens without the shim, as measured. It is the same in all three forms.
#   ok      ends well, and must do so with the shim
#   hangs   is stuck until the time limit
#   dies    by a fatal error of CPython or a signal
#   breaks  ends, but the contract was broken (status 3)
#   fails   hangs, dies or breaks, as it happens: freed memory is used
# The second column is the generation of the old library: 1 is pybind11 <= 2.2, 2 is pybind11 >= 2.3.
# shape                   gen <=3.11  debug   3.12    3.13+
bare='
thread-acquire            1   breaks  dies    ok      ok
thread-ensure             1   hangs   dies    ok      ok
main-ensure               1   ok      ok      ok      ok
ensure-first              1   hangs   hangs   hangs   dies
foreign-ensure-first      1   hangs   hangs   hangs   dies
foreign-acquire-first     1   ok      ok      ok      ok
foreign-duplicate         1   hangs   dies    ok      ok
two-generations           1   hangs   dies    ok      ok
foreign-two-generations   1   hangs   dies    ok      ok
generations-held          1   hangs   dies    ok      ok
subinterpreter-held       1   hangs   hangs   ok      ok
subinterpreter-saved      1   hangs   hangs   ok      ok
subinterpreter-swap       1   hangs   hangs   ok      ok
moved                     1   hangs   hangs   hangs   dies
thread-moved              1   hangs   hangs   hangs   dies
moved-both                1   hangs   hangs   hangs   dies
made-for-others           1   hangs   hangs   hangs   dies
dissociated               1   hangs   dies    ok      ok
thread-dissociated        1   hangs   dies    ok      ok
kept                      1   hangs   dies    ok      ok
kept-dissociated          1   hangs   dies    ok      ok
foreign-kept              1   ok      ok      ok      ok
kept-held                 1   hangs   dies    hangs   dies
same-state                1   hangs   hangs   hangs   dies
foreign-same-state        1   hangs   hangs   hangs   dies
same-state-restore        1   hangs   hangs   hangs   dies
duplicate                 1   hangs   dies    ok      ok
main-duplicate            1   hangs   dies    ok      ok
held                      1   hangs   hangs   hangs   dies
swapped                   1   hangs   dies    ok      ok
swapped-in-turns          1   hangs   dies    ok      ok
thread-local              1   breaks  dies    breaks  breaks
null                      1   dies    dies    dies    dies
thread-null               1   dies    dies    dies    dies
cached                    1   fails   fails   fails   fails
cached-at-once            1   fails   fails   fails   fails
finalize-saved            1   dies    dies    dies    ok
finalize-pybind           1   dies    dies    dies    dies
issue-1276                1   dies    dies    dies    dies
thread-acquire            2   ok      ok      ok      ok
thread-ensure             2   ok      ok      ok      ok
main-ensure               2   ok      ok      ok      ok
ensure-first              2   ok      ok      ok      ok
foreign-ensure-first      2   ok      ok      ok      ok
foreign-acquire-first     2   ok      ok      ok      ok
foreign-duplicate         2   ok      ok      ok      ok
two-generations           2   hangs   dies    ok      ok
foreign-two-generations   2   hangs   dies    ok      ok
generations-held          2   hangs   hangs   hangs   dies
moved                     2   hangs   hangs   hangs   dies
thread-moved              2   hangs   hangs   hangs   dies
moved-both                2   hangs   hangs   hangs   dies
dissociated               2   ok      ok      ok      ok
thread-dissociated        2   ok      ok      ok      ok
kept                      2   ok      ok      ok      ok
kept-dissociated          2   ok      ok      ok      ok
foreign-kept              2   ok      ok      ok      ok
kept-held                 2   ok      ok      ok      ok
thread-local              2   ok      ok      ok      ok
null                      2   dies    dies    dies    dies
thread-null               2   dies    dies    dies    dies
cached                    2   fails   fails   fails   fails
cached-at-once            2   fails   fails   fails   fails
finalize-saved            2   dies    dies    dies    ok
finalize-pybind           2   dies    dies    dies    dies
issue-1276                2   dies    dies    dies    dies
'

# The column of the table for this interpreter. From 3.13 on debug builds end as release builds do, though by an assert;
# nothing is known of that of 3.12.
column() {
    if python_before 3.12; then
        [ "$PY_BUILD" = debug ] && echo 4 || echo 3
    elif python_before 3.13; then
        [ "$PY_BUILD" = debug ] && echo none || echo 5
    else
        echo 6
    fi
}

# is_forbidden FORM SHAPE: CPython forbids it without any mixing.
is_forbidden() {
    case $1:$2 in
    module:finalize-* | module:issue-1276) ! script_may_finalize ;;
    *) false ;;
    esac
}

outcome() {
    case $1 in
    0) echo ok ;;
    3) echo breaks ;;
    137) echo hangs ;;
    *) echo dies ;;
    esac
}

# play HOW FORM SHAPE GENERATION: HOW is without, with_shim, ...
play() {
    case $2 in
    module) "$1" "$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" "$3" "$4" ;;
    *) "$1" "$FIXTURES/$2" "$3" "$4" ;;
    esac
}

# What is expected to hang costs its whole time limit, so all of them do it at once, before the first test: results are
# kept in files named after form, shape and generation.
play_bare() {
    local form=$1 shape=$2 generation=$3 expected=$4
    case $expected in
    ok) LIMIT=60 ;;
    hangs) LIMIT=3 ;;
    *) LIMIT=20 ;;
    esac
    play without "$form" "$shape" "$generation"
    printf '%s\n' "$(outcome "$status")" "$output" >"$BATS_FILE_TMPDIR/$form.$shape.$generation"
}

setup_file() {
    local shape generation expected form field runs=()
    field=$(column)
    [ "$field" != none ] || return 0
    while read -r shape generation expected; do
        for form in module embed; do
            [ "$form" = module ] || [ -x "$FIXTURES/$form" ] || continue
            ! is_forbidden "$form" "$shape" || continue
            play_bare "$form" "$shape" "$generation" "$expected" &
            runs+=($!)
            if [ ${#runs[@]} -eq 16 ]; then
                wait "${runs[@]}"
                runs=()
            fi
        done
    done < <(awk -v field="$field" 'NF { print $1, $2, $field }' <<<"$bare")
    [ ${#runs[@]} -eq 0 ] || wait "${runs[@]}"
}

# plays SHAPE GENERATION: as the table says without the shim, and well with it.
plays() {
    local form expected='' found field
    field=$(column)
    [ "$field" = none ] ||
        expected=$(awk -v field="$field" -v shape="$1" -v generation="$2" '$1 == shape && $2 == generation { print $field }' <<<"$bare")
    for form in module embed embed-single; do
        [ "$form" = module ] || [ -x "$FIXTURES/$form" ] || continue
        if is_forbidden "$form" "$1"; then
            finalizing_script_dies
            continue
        fi
        if [ -n "$expected" ] && [ "$form" != embed-single ]; then
            found=$(head -n 1 "$BATS_FILE_TMPDIR/$form.$1.$2")
            case $expected:$found in
            "$found:$found" | fails:hangs | fails:dies | fails:breaks) ;;
            *)
                cat "$BATS_FILE_TMPDIR/$form.$1.$2"
                echo "without the shim, as $form: expected '$expected', but it '$found'"
                return 1
                ;;
            esac
        fi
        case $1 in
        moved | thread-moved | moved-both | made-for-others)
            may_use_anothers_state || {
                play asserts_anothers_state "$form" "$1" "$2"
                continue
            }
            ;;
        esac
        case $expected in '' | ok) ;; *) shows_repair ;; esac
        LIMIT=20 play works_with "$form" "$1" "$2"
        has_line "ok $1"
    done
}

# A static interpreter without its libpython.a can't be embedded; the tests then say so.
setup() {
    embeds=yes
    [ -x "$FIXTURES/embed" ] || embeds=''
}

@test "the embedding programs are there" {
    require "no libpython to link with for $PY_TAG" test -n "$embeds"
}

@test "thread-acquire, pybind11 <= 2.2" { plays thread-acquire 1; }
@test "thread-ensure, pybind11 <= 2.2" { plays thread-ensure 1; }
@test "main-ensure, pybind11 <= 2.2" { plays main-ensure 1; }
@test "ensure-first, pybind11 <= 2.2" { plays ensure-first 1; }
@test "foreign-ensure-first, pybind11 <= 2.2" { plays foreign-ensure-first 1; }
@test "foreign-acquire-first, pybind11 <= 2.2" { plays foreign-acquire-first 1; }
@test "foreign-duplicate, pybind11 <= 2.2" { plays foreign-duplicate 1; }
@test "two-generations, pybind11 <= 2.2" { plays two-generations 1; }
@test "foreign-two-generations, pybind11 <= 2.2" { plays foreign-two-generations 1; }
@test "generations-held, pybind11 <= 2.2" { plays generations-held 1; }
@test "subinterpreter-held, pybind11 <= 2.2" { plays subinterpreter-held 1; }
@test "subinterpreter-saved, pybind11 <= 2.2" { plays subinterpreter-saved 1; }
@test "subinterpreter-swap, pybind11 <= 2.2" { plays subinterpreter-swap 1; }
@test "moved, pybind11 <= 2.2" { plays moved 1; }
@test "thread-moved, pybind11 <= 2.2" { plays thread-moved 1; }
@test "moved-both, pybind11 <= 2.2" { plays moved-both 1; }
@test "made-for-others, pybind11 <= 2.2" { plays made-for-others 1; }
@test "dissociated, pybind11 <= 2.2" { plays dissociated 1; }
@test "thread-dissociated, pybind11 <= 2.2" { plays thread-dissociated 1; }
@test "kept, pybind11 <= 2.2" { plays kept 1; }
@test "kept-dissociated, pybind11 <= 2.2" { plays kept-dissociated 1; }
@test "foreign-kept, pybind11 <= 2.2" { plays foreign-kept 1; }
@test "kept-held, pybind11 <= 2.2" { plays kept-held 1; }
@test "same-state, pybind11 <= 2.2" { plays same-state 1; }
@test "foreign-same-state, pybind11 <= 2.2" { plays foreign-same-state 1; }
@test "same-state-restore, pybind11 <= 2.2" { plays same-state-restore 1; }
@test "duplicate, pybind11 <= 2.2" { plays duplicate 1; }
@test "main-duplicate, pybind11 <= 2.2" { plays main-duplicate 1; }
@test "held, pybind11 <= 2.2" { plays held 1; }
@test "swapped, pybind11 <= 2.2" { plays swapped 1; }
@test "swapped-in-turns, pybind11 <= 2.2" { plays swapped-in-turns 1; }
@test "thread-local, pybind11 <= 2.2" { plays thread-local 1; }
@test "null, pybind11 <= 2.2" { plays null 1; }
@test "thread-null, pybind11 <= 2.2" { plays thread-null 1; }
@test "cached, pybind11 <= 2.2" { plays cached 1; }
@test "cached-at-once, pybind11 <= 2.2" { plays cached-at-once 1; }
@test "finalize-saved, pybind11 <= 2.2" { plays finalize-saved 1; }
@test "finalize-pybind, pybind11 <= 2.2" { plays finalize-pybind 1; }
@test "issue-1276, pybind11 <= 2.2" { plays issue-1276 1; }
@test "thread-acquire, pybind11 >= 2.3" { plays thread-acquire 2; }
@test "thread-ensure, pybind11 >= 2.3" { plays thread-ensure 2; }
@test "main-ensure, pybind11 >= 2.3" { plays main-ensure 2; }
@test "ensure-first, pybind11 >= 2.3" { plays ensure-first 2; }
@test "foreign-ensure-first, pybind11 >= 2.3" { plays foreign-ensure-first 2; }
@test "foreign-acquire-first, pybind11 >= 2.3" { plays foreign-acquire-first 2; }
@test "foreign-duplicate, pybind11 >= 2.3" { plays foreign-duplicate 2; }
@test "two-generations, pybind11 >= 2.3" { plays two-generations 2; }
@test "foreign-two-generations, pybind11 >= 2.3" { plays foreign-two-generations 2; }
@test "generations-held, pybind11 >= 2.3" { plays generations-held 2; }
@test "moved, pybind11 >= 2.3" { plays moved 2; }
@test "thread-moved, pybind11 >= 2.3" { plays thread-moved 2; }
@test "moved-both, pybind11 >= 2.3" { plays moved-both 2; }
@test "dissociated, pybind11 >= 2.3" { plays dissociated 2; }
@test "thread-dissociated, pybind11 >= 2.3" { plays thread-dissociated 2; }
@test "kept, pybind11 >= 2.3" { plays kept 2; }
@test "kept-dissociated, pybind11 >= 2.3" { plays kept-dissociated 2; }
@test "foreign-kept, pybind11 >= 2.3" { plays foreign-kept 2; }
@test "kept-held, pybind11 >= 2.3" { plays kept-held 2; }
@test "thread-local, pybind11 >= 2.3" { plays thread-local 2; }
@test "null, pybind11 >= 2.3" { plays null 2; }
@test "thread-null, pybind11 >= 2.3" { plays thread-null 2; }
@test "cached, pybind11 >= 2.3" { plays cached 2; }
@test "cached-at-once, pybind11 >= 2.3" { plays cached-at-once 2; }
@test "finalize-saved, pybind11 >= 2.3" { plays finalize-saved 2; }
@test "finalize-pybind, pybind11 >= 2.3" { plays finalize-pybind 2; }
@test "issue-1276, pybind11 >= 2.3" { plays issue-1276 2; }

# ---- with pybind11 itself (2.10 in Debian 12, 2.13 in Debian 13; 3.1 has put some of it right)

has_pybind() {
    require "pybind11 has no 2.7 any more" test "$PY_VERSION" != 2.7
    require "no pybind11 headers (pybind11-dev)" test -e "$FIXTURES/gilpybind.so"
}

pybind_module() { "$1" "$PYTHON" -S "$ROOT/tests/fixtures/shapes/run-pybind.py" "$FIXTURES" "$2"; }

pybind_ends_well() {
    has_pybind
    pybind_module without "$1"
    is_status 0
    LIMIT=20 pybind_module works_with "$1"
    has_line "ok pybind"
    [ -n "$embeds" ] || return 0
    without "$FIXTURES/embed-pybind" orderly "$1"
    is_status 0
    LIMIT=20 works_with "$FIXTURES/embed-pybind" orderly "$1"
    has_line "ok pybind"
}

@test "pybind11: acquire on a thread, a release inside" { pybind_ends_well acquire; }
@test "pybind11: PyGILState_Ensure in acquire, acquire in Ensure" { pybind_ends_well ensure; }
@test "pybind11: the same on pthreads" { pybind_ends_well foreign; }
@test "pybind11: gil_scoped_release(true), a state kept by its counter" { pybind_ends_well dissociated; }

@test "pybind11: a state moves to another OS thread" {
    has_pybind
    may_use_anothers_state || {
        pybind_module asserts_anothers_state moved
        return
    }
    LIMIT_BARE=3 pybind_module fails_without moved
    LIMIT=20 pybind_module works_with moved
    has_line "ok pybind"
    [ -n "$embeds" ] || return 0
    LIMIT_BARE=3 fails_without "$FIXTURES/embed-pybind" orderly moved
    LIMIT=20 works_with "$FIXTURES/embed-pybind" orderly moved
    has_line "ok pybind"
}

# pybind11 3.1 has put these right: it keeps no state that it has freed, and ends without the GIL.
fails_without_before_3_1() {
    if pybind_before 3.1; then
        LIMIT_BARE=3 fails_without "$@"
    else
        without "$@"
        is_status 0
    fi
}

@test "pybind11: issue 2888, internals created in a state that is freed" {
    has_pybind
    pybind_module fails_without_before_3_1 cached
    LIMIT=20 pybind_module works_with cached
    has_line "ok pybind"
    [ -n "$embeds" ] || return 0
    fails_without_before_3_1 "$FIXTURES/embed-pybind" cached
    LIMIT=20 works_with "$FIXTURES/embed-pybind" cached
    has_line "ok pybind"
}

@test "pybind11: issue 1276 as reported, scoped_interpreter ends without the GIL" {
    has_pybind
    require "no libpython to link with for $PY_TAG" test -n "$embeds"
    fails_without_before_3_1 "$FIXTURES/embed-pybind" issue acquire
    LIMIT=20 works_with "$FIXTURES/embed-pybind" issue acquire
    has_line "hello after the release"
    has_line "ok pybind"
}

@test "pybind11: issue 1276 with a third library inside" {
    has_pybind
    require "no libpython to link with for $PY_TAG" test -n "$embeds"
    fails_without_before_3_1 "$FIXTURES/embed-pybind" issue ensure
    LIMIT=20 works_with "$FIXTURES/embed-pybind" issue ensure
    has_line "ok pybind"
}
