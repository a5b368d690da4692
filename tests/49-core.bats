#!/usr/bin/env bats
# run-with-shim.sh --core and gilshim-inspect --core: what can't be read, with one line that says why; files that are elsewhere, or
# not the same any more; core files of gcore; what a core file says that the kernel wrote. Each interpreter: each-python/68-core.bats.

# shellcheck disable=SC2030,SC2031,SC2154 # pid, core: set anew by each test

load helpers
load hanging
load cores

setup() { cd "$BATS_TEST_TMPDIR" || return; }
teardown() { unhang; }

# Sets $core to that of a Python that aborted.
aborts() {
    use_python static || use_python shared
    dies_of "$PYTHON" -S -c 'import os; os.abort()'
}
# put FILE OFFSET BYTES: writes them there; BYTES as printf has them.
# shellcheck disable=SC2059 # a format on purpose
put() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

@test "wrong usage: 125, and says what" {
    local arguments
    for arguments in "--core" "--core x --core y" "--core x --pid 1" "--core x a b" "--root /" "--core x --root"; do
        # shellcheck disable=SC2086 # split on purpose
        limited 30 "$ROOT/run-with-shim.sh" $arguments
        is_status 125
        has_line 'run-with-shim.sh: *'
        # shellcheck disable=SC2086
        limited 30 "$ROOT/build/gilshim-inspect" $arguments
        is_status 125
        has_line 'gilshim-inspect: *'
    done
}

@test "no core file at all" {
    core=$PWD/none reads
    refuses '*/none: No such file or directory'
    core=$PWD reads
    refuses "* is no core file: it is no regular file"
    : >empty
    core=empty reads
    refuses 'empty is no core file: it is empty'
    echo text >text
    core=text reads
    refuses 'text is no core file'
    core=/bin/sh reads
    refuses '/bin/sh is no core file: it is a program or a library'
    printf '\177ELF' >short
    core=short reads
    refuses 'short is no core file, or only the beginning of one'
}

@test "compressed core files: says what unpacks them" {
    local kind
    for kind in '\050\265\057\375 zstd' '\037\213 gzip' '\3757zXZ xz' '\004\042\115\030 lz4'; do
        # shellcheck disable=SC2059 # a format on purpose
        printf "${kind% *}0000" >packed
        core=packed reads
        refuses "packed is compressed: unpack it first (${kind#* } -d), or, if systemd keeps it, coredumpctl dump -o FILE PID"
    done
}

@test "of another machine, of a 32-bit process, without threads, cut" {
    aborts
    cp "$core" other && put other 18 '\363\0' # e_machine: RISC-V
    core=other reads
    refuses 'other is of another kind of machine (ELF machine 243); this is for *'
    cp "$core" other && put other 4 '\1'
    core=other reads
    refuses 'other is of a 32-bit process; this is for 64-bit processes'
    cp "$core" other && put other 5 '\2'
    core=other reads
    refuses 'other is of another kind of machine; this is for *'
    head -c 100 "$core" >other
    core=other reads
    refuses 'other is truncated or damaged: its headers are not all there'
    for size in 6000 20000; do
        head -c $size "$core" >other
        core=other reads
        refuses 'other is truncated: * MB are missing, and with them what it could say of CPython *'
    done
    head -c $(($(stat -c %s "$core") - 5000)) "$core" >other
    core=other reads
    is_status 0
    has_line '*truncated: 1 MB of the core file are missing *'
}

@test "no CPython in it" {
    dies_of sh -c 'kill -SEGV $$'
    reads
    refuses '*/taken: there is no CPython in it (*)'
}

# As after an upgrade, or on another machine.
@test "files that are elsewhere: EXE, --root, and what to do without" {
    use_python static || use_python shared
    mkdir bin
    cp "$(readlink -f "$PYTHON")" bin/python
    LD_LIBRARY_PATH=$(dirname "$(readlink -f "$PYTHON")")/../lib dies_of bin/python -S -c 'import os; os.abort()'
    reads
    is_status 0
    begins '*gilshim: crash: *SIGABRT, raised by the program itself*'
    local first=${lines[0]}
    mv bin/python moved
    if [ "$PY_KIND" = static ]; then
        reads
        refuses "*/taken: no CPython is found in it, but these files are not here: */bin/python with build id *; install that version, or say where they are *"
    fi
    reads moved
    is_status 0
    [ "${lines[0]}" = "$first" ] || told "another answer than before: $first"
    reads /bin/sh
    refuses '/bin/sh is not the program that the core file is of: its build id is *, not *'
    reads ./none
    refuses './none: No such file or directory'
    # All files below a folder, by their whole paths and by their last names.
    local file
    mkdir root flat
    while IFS= read -r file; do
        [ -f "$file" ] || continue
        mkdir -p "root$(dirname "$file")"
        cp "$file" "root$file"
        cp "$file" flat
    done < <(strings -n 6 "$core" | grep -E '^/.*(\.so[.0-9]*)$' | sort -u)
    mkdir -p "root$PWD/bin"
    cp moved "root$PWD/bin/python" && mv moved flat/python
    for file in root flat; do
        reads --root "$file"
        is_status 0
        [ "${lines[0]}" = "$first" ] || told "another answer with --root $file than before: $first"
        has_no_line '*is not here*'
    done
}

# A core file names any file that whoever made it likes. To open a pipe lets its writer go on, and to open a device may do more.
@test "what is no regular file is not opened, and links in a root lead to what is there" {
    use_python static || use_python shared
    mkdir bin
    cp "$(readlink -f "$PYTHON")" bin/python
    LD_LIBRARY_PATH=$(dirname "$(readlink -f "$PYTHON")")/../lib dies_of bin/python -S -c 'import os; os.abort()'
    mv bin/python moved
    mkfifo bin/python
    (exec 4>bin/python 3>&-; : >opened) &
    local writer=$!
    reads
    [ ! -e opened ] || told "it has opened a pipe"
    kill "$writer" && { wait "$writer" || :; }
    [ "$PY_KIND" = static ] || return 0
    mkdir -p "root$PWD/bin" root/real
    mv moved root/real/python
    ln -s /real/python "root$PWD/bin/python"
    reads --root root
    is_status 0
    has_no_line '*/bin/python is not here*'
}

@test "a library whose file has been replaced since is said to be" {
    use_python static || use_python shared
    require "the kernel does not write core files here" writes_cores
    ulimit -c unlimited
    cp "$ROOT"/build/fixtures/lib{engine,store}.so .
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$PWD" lock_order
    explains '*has the mutex *'
    quits
    cp "$ROOT/build/fixtures/libvault.so" libstore.so.new
    mv libstore.so.new libstore.so
    reads
    is_status 0
    has_line '*file: */libstore.so has been replaced since: its build id is *, and was *: what is in it has no names, and stacks may break off there'
    rm libstore.so
    reads
    has_line '*file: */libstore.so is not here; its build id is *'
}

@test "a core file of gcore: the process goes on hanging" {
    require "needs gcore" command -v gcore
    use_python static || use_python shared
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" lock_order
    explains '*has the mutex *'
    require "gcore can't attach to processes here" gcore -o copy "$pid"
    core=$PWD/copy.$pid reads
    is_status 0
    begins "==$pid== gilshim: stall: deadlock between libengine.so and libstore.so: *"
    has_line '*File "*stall.py", line * in lock_order'
    # Interrupted by gdb, the waits have been begun anew by restart_syscall.
    gcore -o again "$pid" >/dev/null 2>&1
    core=$PWD/again.$pid reads
    begins "==$pid== gilshim: stall: deadlock between libengine.so and libstore.so: *"
}

@test "a process that a watchdog aborts while it hangs: the hang, not a crash" {
    use_python static || use_python shared
    require "the kernel does not write core files here" writes_cores
    ulimit -c unlimited
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" lock_order
    explains '*has the mutex *'
    kill -ABRT "$pid"
    take_core
    reads
    begins "*gilshim: stall: deadlock between libengine.so and libstore.so: *"
}

@test "nothing to explain: 1, and who had the GIL" {
    use_python static || use_python shared
    require "the kernel does not write core files here" writes_cores
    ulimit -c unlimited
    hang "$PYTHON" -S -c "import time; print('begun', flush=True); time.sleep(100)"
    says begun
    quits
    reads
    is_status 1
    begins "==$pid== gilshim: no stall: CPython $PY_VERSION*, 1 thread: the GIL was free; nobody waits for it"
}

# Each that waits in the eval loop wakes up every 5 ms to ask, and on a busy machine is awake for a while then.
@test "CPython's fatal error; who waits for the GIL meanwhile" {
    use_python static || use_python shared
    dies_of "$PYTHON" -S -c "import ctypes, threading, time
def work():
    while True: pass
for _ in range(8): threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
ctypes.pythonapi.Py_FatalError(b'no way on')"
    reads
    is_status 0
    begins '*gilshim: crash: *: SIGABRT, raised by the program itself (*) in libc.so.6!*: has the GIL*'
    has_line '*fatal error: CPython has ended the process itself (Py_FatalError)*'
    has_line '*GIL: the thread that crashed has it, with state 0x*; [1-8] thread* wait* for it: *'
    reads -j
    is_status 0
    "$PYTHON" -c "import json, sys
crash, process = map(json.loads, sys.stdin)
assert crash['type'] == 'fatal' and crash['name'] == 'crash' and crash['signal'] == 'SIGABRT', crash
assert crash['has_gil'] and crash['fatal_error'] == 'Py_FatalError' and 1 <= crash['waiters'] <= 8, crash
assert process['type'] == 'process' and process['threads'] == 9, process" <<<"$output"
}

@test "a thread crashes without the GIL while another one has it" {
    use_python static || use_python shared
    dies_of "$PYTHON" -S -c "import ctypes, os, threading, time
libc, held = ctypes.CDLL(None), ctypes.PyDLL(None)
out, into = os.pipe()
def work():
    time.sleep(0.3)
    held.write(into, b'x', 1) # with the GIL held
    held.sleep(100)
libc.fdopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fdopen(out, b'r'))
threading.Thread(target=work, daemon=True).start()
libc.fread(ctypes.c_void_p(8), 1, 1, file)"
    reads
    is_status 0
    begins '*gilshim: crash: *: SIGSEGV at 0x8 (*) in libc.so.6!*: does not have the GIL; *'
    has_line '*GIL: thread * has it, with state 0x*; 0 threads wait for it'
    has_line '*native stack of the thread that has the GIL:'
    has_line '*#*libffi*' # in write or sleep
    has_line '*Python stack of the thread that has the GIL:'
    has_line '*File "<string>", line * in work'
}

@test "with the shim in the process: its journal, too" {
    use_python static || use_python shared
    require "the kernel does not write core files here" writes_cores
    ulimit -c unlimited
    rm -f core core.*
    SHIM_OPTIONS=mode=observe:history=64 with_shim env PYTHONPATH="$FIXTURES" "$PYTHON" -c "import gilcrash; gilcrash.run('deleted')"
    take_core
    reads
    is_status 0
    begins '*gilshim: crash: gilcrash.so: SIGSEGV *the attached state is one that was deleted at gilcrash.so!delete_and_attach+0x* (PyThreadState_Delete on tid *); its last GIL event: attach by PyEval_RestoreThread at gilcrash.so!attach_gone+0x* s ago'
}

@test "what can't be written is a failure" {
    aborts
    limited 30 sh -c '"$0" --core "$1" >/dev/full' "$ROOT/build/gilshim-inspect" "$core"
    is_status 125
    has_line "gilshim-inspect: can't write: *"
}

# More of them: make fuzz-core FUZZ_CORES=...
@test "damaged and cut core files: explained, or refused in one line, under ASan and UBSan" {
    aborts
    require "needs ASan" make -C "$ROOT" build/fuzz/core
    FUZZ_EXE=''; [ "$PY_KIND" != static ] || FUZZ_EXE=$PYTHON
    FUZZ_EXE=$FUZZ_EXE limited 300 "$ROOT/build/fuzz/core" 1 150 "$core"
    is_status 0
    has_line '150 passed, 0 failed, 0 skipped'
}

# A GIL of one of two CPythons, by either way of looking.
@test "two CPythons in one process: the one that hangs is explained, and the other is named" {
    local tags first last
    require "the kernel does not write core files here" writes_cores
    tags=$(printf '%s\n' "${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}" | awk -F '\t' '$2 == "shared" && $5 != "-" { print $1 }')
    first=$(head -n 1 <<<"$tags")
    last=$(tail -n 1 <<<"$tags")
    [ -n "$first" ] && [ "$first" != "$last" ] || require "needs two interpreters with a shared libpython" false
    ulimit -c unlimited
    hang "$ROOT/build/fixtures/bind_two" "$ROOT/build/fixtures/"{"$first","$last"}/libbind_plugin.so hang
    says hangs
    explains "==$pid== gilshim: stall: bind_two has the GIL: thread * has waited for the GIL *(PyGILState_Ensure, called by libbind_plugin.so!plugin_ensure+0x*); thread $pid * holds it (in bind_two!main+0x*)"
    is_about_second
    quits
    reads
    is_status 0
    begins "==$pid== gilshim: stall: bind_two has the GIL: thread * waits for the GIL (PyGILState_Ensure, called by libbind_plugin.so!plugin_ensure+0x*); thread $pid * holds it (in bind_two!main+0x*)"
    is_about_second
}
# The last look's report has the stack of a waiter in the second libpython, and both interpreters.
is_about_second() {
    has_line "*#*libpython$last*.so.1.0!PyGILState_Ensure+0x*"
    has_no_line "*#*libpython$first*.so.1.0!*"
    has_line "*interpreter: CPython * (*/libpython$last*.so.1.0), *"
    has_line "*interpreter: CPython * (*/libpython$first*.so.1.0), *"
    has_line '*warning: there are several CPythons in this process: *'
    [ "$(count_lines '*stall:*')" -eq 1 ]
    [ "$(count_lines '*interpreter:*')" -eq 2 ]
}
