#!/usr/bin/env bats
# check=calls: calls of Python's API without the GIL (tests/fixtures/check) are reported, with library, function and reason, before
# they do harm; the program goes on, or dies, as it does bare. And what the thunks must not change.

load ../helpers

setup() {
    export PYTHONPATH=$FIXTURES
}

# Runs a case in a module of the interpreter, or `embed:CASE` in a program that embeds it. The first argument is with_shim or without.
play() {
    case $2 in
    embed:*) "$1" "$FIXTURES/check-embed" "${2#embed:}" ;;
    *) "$1" "$PYTHON" -S -c "import gilcheck; gilcheck.run('$2')" ;;
    esac
}
# Runs a case with check=calls and what else is in $more.
checked() { SHIM_OPTIONS=check=calls:history=16${more:+:$more} play with_shim "$1"; }
errors() { count_lines '*gilshim: GIL error: *'; }

# Bare, the case dies by a signal, or prints what is wrong: $2 is a pattern of a line, or empty. With the shim it ends in the same
# way, and the first report is $3. With by_chance=1 it reads freed memory, and may die or not, bare and checked.
is_found() {
    local bare
    play without "$1"
    bare=$status
    if [ -n "$2" ]; then
        has_line "$2"
    else
        case $bare in 134 | 135 | 139) ;; *) told "$1: did not die without the shim" ;; esac
    fi
    checked "$1"
    if [ -n "${by_chance:-}" ]; then
        case $status in 0 | 134 | 139) ;; *) told "$1: neither ended nor died" ;; esac
    else
        is_status "$bare"
    fi
    [ -z "$2" ] || has_line "$2"
    mapfile -t lines < <(grep -m 1 'GIL error' <<<"$output")
    has_line "==*== gilshim: GIL error: $3"
}

without_gil="Python's API is called without the GIL: "

@test "a call after PyEval_SaveThread" {
    is_found saved '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!saved+0x* on tid * \"*\": ${without_gil}this thread gave it up by PyEval_SaveThread at libgilcheck.so!saved+0x* s ago"
}

# Up to 3.11, the thread that holds the GIL has an exception that it has not raised.
@test "a thread without a thread state, while another thread holds the GIL, or none does" {
    local wrong='' reason="no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!foreign_body+0x* on tid *: ${without_gil}this thread has never attached a thread state"
    # Debug builds notice that the allocator is called without the GIL, and abort.
    if python_before 3.12 && [ "$PY_BUILD" = release ]; then wrong='the exception of another thread'; fi
    is_found foreign "$wrong" "$reason"
    is_found nobody '' "$reason"
}

# At exit, 3.12 puts the object into a list whose head has been freed, and dies of it in every second run.
# Up to 3.7 Py_DECREF calls no function of CPython's, but the type's own: there the holder calls Py_DecRef.
@test "a reference is dropped by a C++ destructor: of a captured lambda on a pool's thread, of a static at exit" {
    local function=_Py_Dealloc
    ! python_before 3.8 || function=Py_DecRef
    # Debug builds from 3.12 on count all references by a function, which Py_DECREF calls first: _Py_DECREF_DecRefTotal.
    if [ "$PY_BUILD" = debug ] && ! python_before 3.12; then function='_Py_*D*c*'; fi
    # Without a GIL in the build, the reference is one of another thread than the object's.
    ! is_free_threaded || function='_Py_*Dec*Ref*'
    is_found pool '' "no_gil: libcheckholder.so: $function by libcheckholder.so!*+0x* on tid *: ${without_gil}this thread has never attached a thread state"
    by_chance=1 is_found static survived "no_gil: libcheckholder.so: $function by libcheckholder.so!*+0x* on tid *: ${without_gil}Python has been finalized"
}

@test "a call after Python's end: in a handler of atexit" {
    is_found at_exit '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!exit_handler+0x* on tid *: ${without_gil}Python has been finalized"
}

# If CPython is linked into the program, its own calls of Py_Initialize and Py_Finalize can't be seen.
@test "an embedding program: a call after Py_Finalize, after SaveThread and on a foreign thread" {
    require "a static interpreter has no libpython" [ -e "$FIXTURES/check-embed" ]
    local reason='Python has been finalized, by Py_Finalize at check-embed!main+0x* s ago'
    [ "$PY_KIND" = shared ] || reason='Python * initialized'
    is_found embed:finalized '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!check_after_finalize+0x* on tid * \"check-embed\": ${without_gil}$reason"
    is_found embed:saved '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!saved+0x*: this thread gave it up by PyEval_SaveThread *"
    is_found embed:nobody '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!foreign_body+0x*: this thread has never attached a thread state"
}

# PyErr_SetInterrupt, which the handler calls first, may be called there.
@test "a signal handler on a thread that has given the GIL up" {
    is_found handler '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!on_signal+0x*: this thread gave it up by PyEval_SaveThread at libgilcheck.so!handler+0x*"
}

@test "a library has released the caller's state: the reason names it" {
    is_found early '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!early_body+0x*: this thread gave it up by PyGILState_Release at libcheckearly.so!early_release+0x*"
    is_found deleted '' "no_gil: libgilcheck.so: PyErr_SetString by libgilcheck.so!deleted_body+0x*: this thread deleted its thread state by PyThreadState_DeleteCurrent at libgilcheck.so!deleted_body+0x*"
}

# From 3.12 on PyThreadState_Swap itself reads the interpreter, and dies; from 3.13 on it waits or dies for a deleted state, too.
@test "a deleted state is attached" {
    local state
    for state in dead_state dead_interpreter; do
        play without "$state"
        if [ "$status" -eq 0 ]; then
            is_found "$state" survived "dead_state: libgilcheck.so: Py_DecRef by libgilcheck.so!$state+0x* on tid * \"*\": Python's API is called with a thread state attached that has been deleted; tstate 0x* since PyThreadState_Swap at libgilcheck.so!$state+0x* s ago"
        else
            python_from 3.12 || told "$state: it dies before the call"
        fi
    done
}

@test "what is allowed is not reported" {
    local mode
    for mode in repair observe; do
        more=mode=$mode checked legal
        is_status 0
        has_line survived
        has_no_line '*GIL error*'
    done
    SHIM_OPTIONS=check=calls works_with "$PYTHON" -c 'import json, threading, ctypes, re
t = [threading.Thread(target=lambda: [json.loads("[1, {}]") for i in range(100)]) for i in range(4)]
[x.start() for x in t]; [x.join() for x in t]'
    is_silent
}

@test "each call returns what it should: doubles, complex numbers, variadic functions with more arguments than registers" {
    local code='import gilcheck; gilcheck.values()'
    without "$PYTHON" -S -c "$code"
    [ "$output" = right ]
    SHIM_OPTIONS=check=calls works_with "$PYTHON" -S -c "$code"
    [ "$output" = right ]
}

@test "the functions that types have in their slots keep their addresses, in data and in code" {
    local code='import gilcheck; gilcheck.identity()' bare
    without "$PYTHON" -S -c "$code"
    is_status 0
    bare=$output
    has_line 'data and code agree: yes'
    has_line "getattro is object's: yes"
    SHIM_OPTIONS=check=calls works_with "$PYTHON" -S -c "$code"
    [ "$output" = "$bare" ]
}

@test "modules that are linked lazily, at once, without a PLT and to the stable ABI" {
    local kind kinds=0
    for kind in lazy now noplt stable; do
        [ -e "$FIXTURES/check_$kind.so" ] || continue
        SHIM_OPTIONS=check=calls works_with "$PYTHON" -S -c "import check_$kind; check_$kind.run()"
        has_line "*GIL error: no_gil: check_$kind.so: Py_DecRef by check_$kind.so!run+0x*: this thread gave it up by PyEval_SaveThread at check_$kind.so!run+0x*"
        [ "$(errors)" -eq 1 ]
        kinds=$((kinds + 1))
    done
    [ "$kinds" -ge 3 ]
    # Found by dlsym.
    checked by_dlsym
    has_line '*GIL error: no_gil: libgilcheck.so: Py_DecRef by libgilcheck.so!by_dlsym+0x*'
}

@test "a library that was preloaded, bound lazily and at the start" {
    local now
    for now in '' 1; do
        limited 60 env LD_PRELOAD="$GILSHIM_LIB:$FIXTURES/libcheckpreloaded.so" GILSHIM_OPTIONS=check=calls ${now:+LD_BIND_NOW=1} \
            "$PYTHON" -S -c "import gilcheck; gilcheck.run('preloaded')"
        is_status 0
        has_line '*GIL error: no_gil: libcheckpreloaded.so: Py_DecRef by libcheckpreloaded.so!preloaded_call+0x*'
    done
}

# Each time all its functions are checked anew.
@test "a program that opens libpython, closes it and opens it again" {
    require "a static interpreter has no libpython to open" [ "$PY_KIND" = shared ]
    local libpython
    libpython=$(ldd "$FIXTURES/check-embed" | sed -n 's/.*libpython.* => \(.*\) (.*/\1/p')
    SHIM_OPTIONS=check=calls:summary=1 works_with "$ROOT/build/fixtures/check_late" "$libpython" "$FIXTURES/libgilcheck.so" harmless 3
    has_line survived
    has_line '*GIL error: no_gil: libgilcheck.so: Py_DecRef by libgilcheck.so!harmless+0x*'
    has_line '*gilshim:   seen * no_gil: 3'
    has_no_line '*warning*'
}

@test "in a fork child" {
    checked forks
    is_status 0
    local child
    child=$(sed -n 's/^child \([0-9]*\): 7$/\1/p' <<<"$output")
    has_line "==$child== gilshim: GIL error: no_gil: libgilcheck.so: Py_DecRef by libgilcheck.so!forks+0x* on tid $child *: this thread gave it up by PyEval_SaveThread at libgilcheck.so!forks+0x*"
}

@test "64 threads, and a signal every millisecond: right results, one report for each place" {
    checked storm
    is_status 0
    has_line 'right: 12800'
    [ "$(errors)" -le 2 ]
    has_line '*GIL error: no_gil: libgilcheck.so: Py_DecRef by libgilcheck.so!works+0x*: this thread *'
}

@test "a million bad calls at one place: one report, all counted, and the process goes on" {
    more=summary=1 checked loop
    is_status 0
    has_line survived
    [ "$(errors)" -eq 1 ]
    has_line '*gilshim:   seen * no_gil: 1000000'
}

@test "strict ends the process with 66 before the call, check_action=abort with SIGABRT; suppressed, off: nothing" {
    more=mode=strict checked harmless
    is_status 66
    [ "$(errors)" -eq 1 ]
    has_no_line survived
    has_line '*gilshim: ending the process here with status 66'
    more=check_action=abort checked harmless
    is_status 134
    [ "$(errors)" -eq 1 ]
    has_no_line survived
    more=exitcode=5 checked harmless
    is_status 5
    has_line survived
    more=mode=observe checked harmless
    is_status 0
    [ "$(errors)" -eq 1 ]
    printf '%s\n' 'no_gil:libgilcheck.so!harmless' >"$BATS_TEST_TMPDIR/rules"
    more=suppressions=$BATS_TEST_TMPDIR/rules:mode=strict checked harmless
    is_status 0
    [ "$(errors)" -eq 0 ]
    has_line '*gilshim: suppressed 1 no_gil:libgilcheck.so!harmless'
    more=mode=off checked harmless
    is_status 0
    [ "$(errors)" -eq 0 ]
}

@test "as JSON: kind, function, module, reason" {
    more=log_format=json checked harmless
    is_status 0
    grep '"type": "gil_error"' <<<"$output" >"$BATS_TEST_TMPDIR/json"
    limited 30 python3 -E -c '
import json, sys
line, = open(sys.argv[1])
report = json.loads(line)
assert report["name"] == "no_gil" and report["call"] == "Py_DecRef" and report["module"] == "libgilcheck.so", report
assert report["caller"].startswith("libgilcheck.so!harmless+0x"), report
assert report["reason"].startswith("this thread gave it up by PyEval_SaveThread at libgilcheck.so!harmless+0x"), report
' "$BATS_TEST_TMPDIR/json"
    is_status 0
}

# Which of the names in a file are the shim's now, as dlsym finds them.
@test "without check=calls only the wrapped functions are changed" {
    local object=$PYTHON
    object=$(ldd "$PYTHON" | sed -n 's/.*libpython.* => \(.*\) (.*/\1/p')
    [ -n "$object" ] || object=$(readlink -f "$PYTHON")
    nm -D --defined-only "$object" | sed -n 's/^[0-9a-f]* T \(_\{0,1\}Py.*\)/\1/p' >"$BATS_TEST_TMPDIR/names"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/names")" -gt 800 ]
    cat >"$BATS_TEST_TMPDIR/look.py" <<'PY'
import ctypes, sys
class Info(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("base", ctypes.c_void_p), ("name", ctypes.c_char_p), ("address", ctypes.c_void_p)]
program = ctypes.PyDLL(None)
program.dladdr.argtypes = [ctypes.c_void_p, ctypes.POINTER(Info)]
for name in open(sys.argv[1]).read().split():
    info = Info()
    address = ctypes.cast(getattr(program, name), ctypes.c_void_p).value
    if program.dladdr(address, ctypes.byref(info)) and b"libgilshim" in info.file:
        print(name)
PY
    SHIM_OPTIONS='' works_with "$PYTHON" -W ignore "$BATS_TEST_TMPDIR/look.py" "$BATS_TEST_TMPDIR/names"
    [ "${#lines[@]}" -ge 20 ] && [ "${#lines[@]}" -le 45 ]
    local name
    for name in "${lines[@]}"; do
        grep -qE "^API[A-Z0-9_]*\((.*[ ,*])?${name}[,)]" "$ROOT/shim/api.def" || told "$name is changed"
    done
    SHIM_OPTIONS=check=calls works_with "$PYTHON" -W ignore "$BATS_TEST_TMPDIR/look.py" "$BATS_TEST_TMPDIR/names"
    [ "${#lines[@]}" -gt 500 ]
    has_line PyList_New
    has_no_line PyObject_GenericGetAttr
    has_no_line PyMem_RawMalloc
}
