#!/usr/bin/env bats
# The rarer legal shapes (tests/fixtures/legal): programs that use the GIL API in ways that are neither nested nor tidy, but
# allowed. In plain form, each ends well without the shim and with it. In mixed form, with a third library's PyGILState_* in
# between, each ends well with the shim; without it some hang or die, as the table says.

load ../helpers

legal=$ROOT/tests/fixtures/legal

# Played with both generations of the old library (1 is pybind11 <= 2.2, 2 is pybind11 >= 2.3); the others use none.
both_generations='nanogui greenlets thread-greenlets foreign-greenlets simgrid thread-simgrid foreign-simgrid xloil felicia
    thread-felicia metrics thread-metrics edge thread-edge overlapping-releases destructors'

# Fails (hangs, dies, or breaks the contract) without the shim: on 2.7 to 3.11, and from 3.12 on.
# "plain" is for an acquire under the state of another library's making; all others are mixed.
fails_before_3_12='edge:1 foreign-greenlets:1 freeradius-interpreters:1 freeradius:1 gil-without-state:1 jep-interpreters:1
    jep:1 kodi:1 main-kodi:1 metrics:1 mod_wsgi-interpreters:1 nanogui:1 nanogui:2 openfoam:1 overlapping-releases:1
    overlapping-releases:2 returns-elsewhere:1 state-of-destructor:1 thread-edge:1 thread-felicia:1 thread-greenlets:1
    thread-jep:1 thread-metrics:1 thread-returns-elsewhere:1 uwsgi-manager:1'
fails_from_3_12='cffi:1 foreign-greenlets:1 jep-interpreters:1 jep:1 nanogui:1 nanogui:2
    returns-elsewhere:1 state-of-destructor:1 thread-greenlets:1 thread-jep:1 thread-returns-elsewhere:1 uwsgi-manager:1
    uwsgi-workers:1'
plain_fails='thread-greenlets:1 foreign-greenlets:1'
# Dies in debug builds, plain or mixed: they check, where a release build goes on, that a thread attaches no other state of its
# interpreter than that of its slot (up to 3.11, "Invalid thread state for this thread"), or that a state that is noted to be in a
# slot is in this thread's (from 3.12 on, asserts).
checked_before_3_12='ceph:1 edge:1 freeradius:1 jep:1 main-kodi:1 metrics:1 nanogui:1 nanogui:2 overlapping-releases:1
    overlapping-releases:2 returns-elsewhere:1 state-of-destructor:1 thread-edge:1 thread-felicia:1 thread-jep:1
    thread-metrics:1 thread-returns-elsewhere:1 uwsgi-manager:1'
# Of these, what 2.7 lets pass when plain: with an empty slot there is nothing to compare, and no allocator that minds (3.6).
unchecked_2_7='jep:1 nanogui:2 state-of-destructor:1 thread-jep:1 uwsgi-manager:1'
checked_from_3_12='ceph:1 cffi:1 foreign-greenlets:1 freeradius-interpreters:1 freeradius:1 jep-interpreters:1 jep:1 nanogui:1
    nanogui:2 returns-elsewhere:1 state-of-destructor:1 thread-greenlets:1 thread-jep:1 thread-returns-elsewhere:1
    uwsgi-manager:1 uwsgi-workers:1'

# What ends well from 3.15 on, release or debug.
mended_in_3_15='freeradius-interpreters:1 freeradius:1 state-of-destructor:1'

# Dies plain and mixed, whatever is preloaded: in a shared libpython of 3.14, PyThreadState_Clear goes on with the thread-locals of the
# OS thread on which it was called. The first one that dies would take the others along.
dies_anyway() {
    case $PY_VERSION:$PY_KIND:$1 in 3.14:shared:*returns-elsewhere) ;; *) false ;; esac
}

is_among() { [[ " ${2//[[:space:]]/ } " == *" $1 "* ]]; }

# fails_bare HOW SHAPE GENERATION
fails_bare() {
    local mixed=$fails_from_3_12 checked=$checked_from_3_12
    ! python_before 3.12 || mixed=$fails_before_3_12 checked=$checked_before_3_12
    ! python_before 3.0 || ! is_among "$2:$3" "$unchecked_2_7" || checked=''
    ! { ! python_before 3.15 && is_among "$2:$3" "$mended_in_3_15"; } || return 1
    is_among "$2:$3" "$plain_fails" || { [ "$1" = mixed ] && is_among "$2:$3" "$mixed"; } ||
        { [ "$PY_BUILD" = debug ] && is_among "$2:$3" "$checked"; }
}

may_fail_bare() {
    # 2.7 keeps a thread's slot by its ident: the next thread of that ident finds a state that was freed. And its locks,
    # mixed with Ensure, hang or not as it happens.
    case $PY_VERSION:$2 in
    2.7:cffi | 2.7:freeradius* | 2.7:uwsgi-* | 2.7:state-of-destructor | 2.7:destructors | 2.7:duckdb | 2.7:lock-and-*) ;;
    *) false ;;
    esac
}

generations() {
    if is_among "$1" "$both_generations"; then echo 1 2; else echo 1; fi
}

shapes() {
    sed -n 's/^@test .*{ plays \([a-z0-9_-]*\);* *.*}$/\1/p' "$BATS_TEST_FILENAME"
}

play() {
    local how=$1 results=$2
    shift 2
    "$how" "$PYTHON" -S "$legal/run.py" "$FIXTURES" "$@"
    printf '%s\n' "$output" "status $status" >"$BATS_FILE_TMPDIR/$results"
}

# What hangs or dies needs a process for itself, all of them at once. Those that end well share one, up to 3.11. From 3.12 on
# CPython does not put a state that comes back to the main thread into its slot again, and what plays next would meet that.
setup_file() {
    local shape generation how alone=() together=() all=()
    for shape in $(shapes); do
        ! dies_anyway "$shape" || continue
        for generation in $(generations "$shape"); do
            for how in mixed plain; do
                all+=("$shape:$how:$generation")
                if fails_bare "$how" "$shape" "$generation"; then
                    alone+=("$shape:$how:$generation")
                elif ! may_fail_bare "$how" "$shape" "$generation"; then
                    together+=("$shape:$how:$generation")
                fi
            done
        done
    done
    LIMIT=150 play with_shim with "${all[@]}"
    if python_before 3.12; then
        LIMIT=150 play without together "${together[@]}"
    else
        for shape in "${together[@]}"; do
            LIMIT=30 play without one "$shape"
            cat "$BATS_FILE_TMPDIR/one" >>"$BATS_FILE_TMPDIR/together"
        done
    fi
    local runs=()
    for shape in "${alone[@]}"; do
        LIMIT=3 play without "$shape" "$shape" &
        runs+=($!)
        if [ ${#runs[@]} -eq 16 ]; then
            wait "${runs[@]}"
            runs=()
        fi
    done
    [ ${#runs[@]} -eq 0 ] || wait "${runs[@]}"
}

plays() {
    local generation how result
    ! dies_anyway "$1" || require "a call of CPython's may not return on another thread here" false
    for generation in $(generations "$1"); do
        for how in mixed plain; do
            if ! grep -qx "ok $1 $how $generation" "$BATS_FILE_TMPDIR/with"; then
                cat "$BATS_FILE_TMPDIR/with"
                echo "with the shim, $1 $how $generation does not end well"
                return 1
            fi
            if fails_bare "$how" "$1" "$generation"; then
                result=$(cat "$BATS_FILE_TMPDIR/$1:$how:$generation")
                case $result in
                *"status 0" | *"status "12[567]) echo "$result" && echo "$1 $how $generation: should fail without the shim" && return 1 ;;
                esac
            elif ! may_fail_bare "$how" "$1" "$generation" && ! grep -qx "ok $1 $how $generation" "$BATS_FILE_TMPDIR/together"; then
                cat "$BATS_FILE_TMPDIR/together"
                echo "without the shim, $1 $how $generation does not end well"
                return 1
            fi
        done
    done
}

# C stacks are swapped.
@test "NanoGUI: the program goes on as another OS thread, the main thread runs the event loop" { plays nanogui; }
@test "PyThreadState_Clear returns on another OS thread than it was called on" { plays returns-elsewhere; }
@test "the same, called by a threading.Thread" { plays thread-returns-elsewhere; }
@test "greenlets: acquire blocks of several stacks overlap" { plays greenlets; }
@test "greenlets on a threading.Thread" { plays thread-greenlets; }
@test "greenlets on a pthread" { plays foreign-greenlets; }
@test "SimGrid: one actor releases, the next one acquires" { plays simgrid; }
@test "SimGrid on a threading.Thread" { plays thread-simgrid; }
@test "SimGrid's actors on a pthread, one state for all" { plays foreign-simgrid; }

# States kept by their counter.
@test "mod_wsgi: the counter is poked, Release is told UNLOCKED whatever Ensure said" { plays mod_wsgi-counter; }
@test "cffi: an Ensure of its own, a state that lives as long as its thread" { plays cffi; }
@test "Subversion's bindings: what SaveThread gave is under a key, where nothing was saved there is nothing" { plays subversion; }
@test "DuckDB: the counter is bumped once, a thread_local's destructor takes it back" { plays duckdb; }
@test "xlOil: a pool thread's state lives from task to task" { plays xloil; }
@test "felicia: a state is kept in a release block" { plays felicia; }
@test "felicia on a threading.Thread" { plays thread-felicia; }
@test "Cython's fast gil: the state is cached in a thread-local" { plays cython; }
@test "Cython's fast gil on a threading.Thread" { plays thread-cython; }
@test "Cython's fast gil on a pthread" { plays foreign-cython; }

# States handed over.
@test "uwsgi: a manager makes the states of its threads" { plays uwsgi-manager; }
@test "uwsgi: each thread makes its state" { plays uwsgi-workers; }
@test "FreeRADIUS: several states on a thread, freed by a destructor, without the GIL" { plays freeradius; }
@test "FreeRADIUS: the same, in interpreters of their own" { plays freeradius-interpreters; }
@test "jep: many threads attach the main state, one after the other" { plays jep; }
@test "jep: a threading.Thread's state" { plays thread-jep; }
@test "jep: they make interpreters there" { plays jep-interpreters; }
@test "ceph-mgr: a new state over another thread's" { plays ceph; }
@test "Kodi: New, Restore, NewInterpreter, EndInterpreter, Swap, Clear, DeleteCurrent" { plays kodi; }
@test "Kodi on the main thread" { plays main-kodi; }

# Sub-interpreters, and the GIL without a state.
@test "mod_wsgi: an interpreter for each application, a state for each thread in it" { plays mod_wsgi-interpreters; }
@test "OpenFOAM: Swap(NULL) and Swap(x) around everything" { plays openfoam; }
@test "the GIL held without a state: NewInterpreter, EndInterpreter, Ensure" { plays gil-without-state; }
@test "ReleaseLock and AcquireLock with a state attached" { plays lock-pair; }
@test "Swap(NULL) and ReleaseLock, up to 3.8" { plays swap-and-release-lock; }
@test "AcquireLock and Swap(state), Swap(NULL) and ReleaseLock, 2.7" { plays lock-and-swap; }
@test "Py_NewInterpreter with the lock and no state, 2.7" { plays lock-and-interpreter; }
@test "o3de: the thread that starts Python keeps the GIL, and nobody lets go of it for it" { plays o3de; }

# Ends.
@test "a release block on the heap, ended by a later call" { plays metrics; }
@test "a release block on the heap, on a threading.Thread" { plays thread-metrics; }
@test "a C program between gil_scoped_release(true) and an acquire declared after it" { plays edge; }
@test "a C program in a release block, on a threading.Thread" { plays thread-edge; }
@test "release blocks of two states, the first one ends first" { plays overlapping-releases; }
@test "destructors of thread_locals and of pthread keys enter Python at the end of a thread" { plays destructors; }
@test "a destructor attaches the thread's state for the last time, and ends it" { plays state-of-destructor; }

joins_for_ever() {
    "$@"
    is_status 137 && has_line joining && has_no_line ended
}

# pybind11's own test asserts that this hangs: nobody may let go of the GIL on behalf of a thread that joins.
@test "a thread that acquires is joined with the GIL held: it hangs, with the shim too" {
    local script='
import sys
sys.path.insert(0, sys.argv[1])
import gillegal
gillegal.join_while_held(int(sys.argv[2]))
print("ended")
'
    local generation how failed=0 run runs=()
    for generation in 0 1 2; do
        for how in without with_shim; do
            LIMIT=4 joins_for_ever "$how" "$PYTHON" -S -c "$script" "$FIXTURES" "$generation" &
            runs+=($!)
        done
    done
    for run in "${runs[@]}"; do wait "$run" || failed=1; done
    [ "$failed" -eq 0 ]
}

# greenlet proper, with pybind11 proper: calls of several greenlets overlap.
@test "greenlet switches with a pybind11 call on the stack" {
    [ "$PY_TAG" = deb3.11 ] || return 0 # one interpreter's package
    require "no python3-greenlet" test -e "$FIXTURES/gilgreenlet.so"
    local how
    for how in without works_with; do
        "$how" "$PYTHON" -S "$legal/greenlets.py" "$FIXTURES"
        is_status 0
        has_line "ok greenlets"
    done
}

# Anybody may keep anything under a key of its own.
@test "a key that is emptied while the GIL is released, and was never a thread state's, is empty" {
    python_from 3.7 || return 0 # PyThread_tss_create
    cat >"$BATS_TEST_TMPDIR/key.py" <<'PYTHON'
import ctypes, threading
released, held = ctypes.CDLL(None), ctypes.PyDLL(None)
for library in (released, held):
    library.PyThread_tss_get.restype = ctypes.c_void_p
key = (ctypes.c_int * 4)()
assert held.PyThread_tss_create(key) == 0
released.PyThread_tss_set(key, None)  # with the GIL released
found = []
thread = threading.Thread(target=lambda: found.append(held.PyThread_tss_get(key)))
thread.start()
thread.join()
assert found == [None] and held.PyThread_tss_get(key) is None, found
print("nothing")
PYTHON
    local how
    for how in without works_with; do
        "$how" "$PYTHON" -S "$BATS_TEST_TMPDIR/key.py"
        is_status 0
        has_line nothing
    done
}
