# Reports name the right module: for misuse that no rule repairs, for fatal errors of CPython, and for what mode=observe and
# mode=strict foresee. tests/55-reports.bats has the forms of reports and problems with their output.

load ../helpers

setup() {
    # What hangs is expected to; it costs its whole limit.
    LIMIT=30
    LIMIT_BARE=3
}

# misuse WHAT: the program dies of it, without the shim and with it; sets $output.
misuse() {
    command=("$PYTHON" -S -c "import sys; sys.path.insert(0, '$FIXTURES'); import misuse; misuse.run('$1')")
}
dies_with() {
    with_shim "${command[@]}"
    case $status in 134 | 139) ;; *) told "expected to die of a signal: ${command[*]}" ;; esac
}

# shape SHAPE: sets `command`.
shape() { command=("$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" "$1"); }

# The number of the first line that matches, from 1; 0: none.
line_of() {
    local line number=0
    for line in "${lines[@]}"; do
        number=$((number + 1))
        # shellcheck disable=SC2254
        case $line in $1) echo "$number" && return ;; esac
    done
    echo 0
}

@test "misuse is told before CPython dies of it: call, module and function, thread, advice" {
    local what call name function foretold fatal
    while read -r what call name function; do
        misuse "$what"
        dies_with
        has_line "==*== gilshim: FATAL would follow: misuse.so: $call by misuse.so!$function+0x* on tid [0-9]* \"*\"*: *"
        has_line "==*== gilshim:   advice: *"
        has_line "==*== gilshim:     #0 misuse.so!$function+0x*"
        foretold=$(line_of '*FATAL would follow*')
        fatal=$(line_of 'Fatal Python error*')
        [ "$fatal" -eq 0 ] || [ "$foretold" -lt "$fatal" ]
        SHIM_OPTIONS=log_format=json dies_with
        has_line "{*\"type\": \"misuse\", \"name\": \"$name\"*\"call\": \"$call\", \"module\": \"misuse.so\"*}"
    done <<'LIST'
thread-release PyGILState_Release release_without_ensure misuse_release
thread-save PyEval_SaveThread save_detached misuse_save
attach-null PyEval_AcquireThread attach_null misuse_attach_null
release-wrong PyEval_ReleaseThread release_wrong_state misuse_release_wrong
delete PyThreadState_Delete delete_attached misuse_delete
thread-delete-current PyThreadState_DeleteCurrent delete_detached misuse_delete_current
LIST
}

# Nothing is asked for: plain preload speaks because the process dies.
@test "a fatal error of CPython names who led to it" {
    misuse thread-get
    dies_with
    has_line "==*== gilshim: FATAL: misuse.so: PyThreadState_Get by misuse.so!misuse_get+0x* on tid *: \"*\""
    misuse release-saved
    dies_with
    has_line "==*== gilshim: FATAL*: PyGILState_Release by misuse.so!misuse_release_saved+0x* on tid *"
    SHIM_OPTIONS=history=16 dies_with
    has_line "==*== gilshim: FATAL*: PyGILState_Release by misuse.so!misuse_release_saved+0x*"
    has_line "==*== gilshim:     -*detach by PyEval_SaveThread tstate 0x* from misuse.so!misuse_release_saved+0x*"
}

@test "a module that calls Py_FatalError on purpose is left alone, unless it is asked for" {
    misuse fatal
    dies_with
    has_line 'Fatal Python error*on purpose'
    has_no_line '*gilshim*'
    SHIM_OPTIONS=history=8 dies_with
    has_line "==*== gilshim: FATAL: *Py_FatalError*misuse.so!misuse_fatal+0x*"
    # Its words are found, however long they are.
    misuse fatal-long
    SHIM_OPTIONS=history=8 dies_with
    has_line '==*== gilshim: FATAL: misuse.so: *misuse.so!misuse_fatal_long+0x*: "forty letters of a text that is too long, *, the end"*'
}

@test "mode=observe: told before it happens, nothing is changed, exitcode= ends what would hang" {
    local name
    for name in held moved; do
        # Debug builds from 3.12 on assert at the attach; to know which states they note as moved takes a probe that writes.
        [ "$name$PY_BUILD" != moveddebug ] || python_before 3.12 || continue
        shape "$name"
        fails_without "${command[@]}"
        local bare=$status
        LIMIT=$LIMIT_BARE
        SHIM_OPTIONS=mode=observe with_shim "${command[@]}"
        [ "$status" -eq "$bare" ] || told "$name ends otherwise than without the shim"
        has_line "==*== gilshim: [DF][EA][AT][DA]*would follow: *"
        LIMIT=30
        SHIM_OPTIONS=mode=observe:exitcode=9 with_shim "${command[@]}"
        if [ "$bare" -eq 137 ]; then is_status 9; fi
        has_line "*; mode=repair repairs it ($name)"
    done
}

# What would go wrong is a later call of PyGILState_*, which nobody makes.
@test "mode=strict does not end what mixes states without PyGILState_*" {
    misuse alone
    [ "$PY_BUILD" = release ] || python_from 3.12 || return 0 # there each attach looks at the slot, and aborts
    without "${command[@]}"
    is_status 0
    SHIM_OPTIONS=mode=strict works_with "${command[@]}"
    is_silent
}

# The library that made it so, not the one that calls PyGILState_Ensure as it should.
@test "the first line names the library that attached a state before" {
    python_before 3.12 && [ "$PY_BUILD" = release ] || return 0 # goes well, or aborts at the attach
    shape duplicate
    SHIM_OPTIONS=mode=observe:exitcode=9 with_shim "${command[@]}"
    is_status 9
    has_line "==*== gilshim: DEADLOCK would follow: libhandmade.so attached a state of its own (PyEval_AcquireThread at libhandmade.so!handmade_begin+0x* s ago); PyGILState_Ensure by gilshapes.so!*"
    SHIM_OPTIONS=mode=observe:exitcode=9:log_format=json with_shim "${command[@]}"
    has_line '{*"type": "deadlock", "name": "duplicate"*"module": "gilshapes.so"*"culprit": "libhandmade.so"*}'
}

# It has been attached here, but it is another thread's: it is not said to be this one's.
@test "of a state that has moved it is said whose it was" {
    shape moved
    SHIM_OPTIONS=verbosity=1:history=16 works_with "${command[@]}"
    local line tid
    for line in "${lines[@]}"; do
        [[ $line =~ 'repaired moved'.*' on tid '([0-9]+) ]] || continue
        tid=${BASH_REMATCH[1]}
        [[ $line != *"owned by tid $tid "* ]] || told "contradicts itself: $line"
    done
    [ -n "$tid" ]
}

# threaded NAME CODE: runs CODE on a threading.Thread of that name, with the module there.
threaded() {
    works_with "$PYTHON" -S -c "
import gc, sys, threading, time
sys.path.insert(0, '$FIXTURES')
import misuse
class Thread(threading.Thread): pass
class Cycle(object):
    def __init__(self): self.self = self
    def __del__(self): deleted.append(1)
deleted = []
def work():$2
def check():
    work()
    print('done')
thread = Thread(target=check, name=$1)
thread.start()
thread.join()"
    has_line done
}

@test "a report names the thread as Python does, whatever its name is, and leaves no exception behind" {
    export SHIM_OPTIONS=verbosity=1
    threaded '"worker"' ' misuse.run("mix-here")'
    has_line '*repaired held: * on tid [0-9]* "worker"*'
    python_from 3 || return 0 # its strings are bytes
    threaded '"w\xf6rker \u20ac \U0001f600"' ' misuse.run("mix-here")'
    has_line '*repaired held: * on tid [0-9]* "wörker € 😀"*'
    threaded '"w\udcff"' ' misuse.run("mix-here")'
    has_line '*repaired held: * on tid [0-9]* "w�"*'
}

# Up to 3.11 the collector runs at an allocation, unless there is a dictionary left over to be used again.
@test "a report makes no object that the collector counts" {
    require "2.7 does not collect cycles with finalizers" python_from 3
    SHIM_OPTIONS=verbosity=2:history=8 threaded '"worker"' '
    time.sleep(0.2) # until the main thread waits, which allocates, too
    run, what, kept = misuse.run, "mix-here", [{} for i in range(300)]
    Cycle()
    gc.set_threshold(1)
    before = len(deleted)
    run(what)
    after = len(deleted)
    gc.set_threshold(700)
    assert before == after, "a finalizer has run amid the report"
    assert gc.collect() and deleted'
    has_line '*repaired held: *'
}

# The state that is given, the one that was met, and who made or attached them.
@test "a repair names its states, who attached them, where and when" {
    misuse mix
    local made="tstate 0x* made by tid [0-9]* since PyThreadState_New at misuse.so!mix+0x* [0-9].[0-9]* s ago"
    SHIM_OPTIONS=verbosity=1:history=16 works_with "${command[@]}"
    has_line "==*== gilshim: repaired held: *; $made over tstate 0x* owned by tid [0-9]* since PyGILState_Ensure at misuse.so!mix+0x* [0-9].[0-9]* s ago"
    SHIM_OPTIONS=verbosity=1:history=16:log_format=json works_with "${command[@]}"
    has_line "{*\"type\": \"repair\", \"name\": \"held\"*\"states\": \[{\"tstate\": \"0x*\"call\": \"PyThreadState_New\"*}, {\"tstate\": \"0x*\"call\": \"PyGILState_Ensure\"*}\]*}"
    # Nothing else is recorded in plain preload, but who made a state is.
    SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
    has_line "==*== gilshim: repaired held: *; $made over tstate 0x*"
    # CPython's own threads attach their state unseen.
    shape held
    SHIM_OPTIONS=verbosity=1:history=16 works_with "${command[@]}"
    has_line "==*== gilshim: repaired held: * over tstate 0x* attached by the interpreter"
}

@test "mode=strict ends at the first thing that would be repaired, with exitcode= or 66" {
    shape held
    SHIM_OPTIONS=mode=strict with_shim "${command[@]}"
    is_status 66
    has_line "==*== gilshim: *would follow: *: Py*"
    SHIM_OPTIONS=mode=strict:exitcode=3 with_shim "${command[@]}"
    is_status 3
}

@test "what mixes nothing: observe, strict, recording and a summary find nothing to say" {
    local options
    for options in mode=observe:exitcode=9 mode=strict history=64; do
        SHIM_OPTIONS=$options works_with "$PYTHON" -S -c '
import threading
threads = [threading.Thread(target=lambda: sum(range(1000))) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()'
        is_silent
    done
}
