#!/usr/bin/env bats
# run-with-shim.sh --pid and gilshim-inspect: processes that can't be looked at, with one line that says why; usage; limits.

# shellcheck disable=SC2030,SC2031 # pid is set anew by each test

load helpers
load hanging

setup() { cd "$BATS_TEST_TMPDIR" || return; }
teardown() { unhang; }

refuses_process() { refuses "process $pid$1"; }
sleeps() {
    use_python static || use_python shared
    hang "$PYTHON" -S -c "import time; print('begun', flush=True); time.sleep(100)"
    says begun
}

@test "wrong usage: 125, and says what" {
    local arguments
    for arguments in "--pid" "-p" "--pid=" "--pid=x" "--pid x" "--pid 0" "--pid -1" "--pid 1 --pid 2" "--pid 1 true" "-p 1 -s 0" "-s 1 --pid 12a"; do
        # shellcheck disable=SC2086 # split on purpose
        limited 30 "$ROOT/run-with-shim.sh" $arguments
        is_status 125
        has_line 'run-with-shim.sh: *'
    done
    for arguments in "" "x" "0" "1 2" "-s" "-s x 1" "-s 0 1" "-s 1e9 1" "-q 1" "99999999999" "--pid" "--pid x" "--core"; do
        # shellcheck disable=SC2086
        limited 30 "$ROOT/build/gilshim-inspect" $arguments
        is_status 125
        has_line 'gilshim-inspect: *'
    done
    # Its options are the wrapper's, and what is misspelt is named.
    for arguments in "--pid 4194304" "-p 4194304 --json"; do
        # shellcheck disable=SC2086
        limited 30 "$ROOT/build/gilshim-inspect" $arguments
        is_status 125
        has_line '*process 4194304: no such process*'
    done
    limited 30 "$ROOT/run-with-shim.sh" --pid=4194304
    has_line '*process 4194304: no such process*'
    # A name for a number, and what \`pgrep\` prints of several.
    limited 30 "$ROOT/run-with-shim.sh" --pid app.py
    [ "$output" = 'run-with-shim.sh: --pid app.py: --pid needs the number of a process; `pgrep -f app.py` lists those of that name; see run-with-shim.sh -h' ]
    limited 30 "$ROOT/run-with-shim.sh" --pid 4194304 4194303
    has_line 'run-with-shim.sh: --pid: one process at a time; *'
    limited 30 "$ROOT/build/gilshim-inspect" --cor x
    is_status 125
    has_line 'gilshim-inspect: unknown option --cor (did you mean --core?); see gilshim-inspect -h'
    limited 30 "$ROOT/build/gilshim-inspect" --frob x
    has_line 'gilshim-inspect: unknown option --frob; see gilshim-inspect -h'
    limited 30 "$ROOT/build/gilshim-inspect" --help
    is_status 0
    limited 30 "$ROOT/run-with-shim.sh" -v -o log -p 4194304
    is_status 125
    has_line 'run-with-shim.sh: -v -o: no effect with --pid'
}

@test "the program is missing: 125, and says where it was looked for" {
    cp "$ROOT/run-with-shim.sh" .
    limited 30 ./run-with-shim.sh --pid 1
    is_status 125
    has_line 'run-with-shim.sh: no gilshim-inspect beside *'
}

@test "no such process" {
    pid=4194304 # above all that the kernel gives by default
    look_at $pid
    refuses_process ': no such process'
}

@test "no CPython in it" {
    hang sleep 100
    until_so grep -qx sleep "/proc/$pid/comm"
    look_at "$pid"
    refuses_process ': there is no CPython in it (*/sleep)'
}

@test "a process that ends, or executes another program, while it is looked at" {
    use_python static || use_python shared
    hang "$PYTHON" -S -c "import time; print('begun', flush=True); time.sleep(2)"
    says begun
    look_at "$pid" -s 4
    refuses_process ' ended, or executed another program, while it was looked at'
    unhang
    hang "$PYTHON" -S -c "import os, sys, time
print('begun', flush=True); time.sleep(2)
os.execv(sys.executable, [sys.executable, '-S', '-c', 'import time; time.sleep(100)'])"
    says begun
    look_at "$pid" -s 4
    refuses_process ' ended, or executed another program, while it was looked at'
}

# The thread through which memory is read ends: another one is taken.
@test "threads of a process whose main thread has ended end, too" {
    use_python static || use_python shared
    hang "$PYTHON" -S -c "import ctypes, threading, time
for seconds in 1, 1.5, 100:
    threading.Thread(target=time.sleep, args=(seconds,)).start()
print('begun', flush=True)
ctypes.CDLL(None).pthread_exit(None)"
    says begun
    look_at "$pid" -s 2
    is_status 1
    has_line '*gilshim: no stall: *, 2 threads: *'
}

@test "a process with musl" {
    use_python static || use_python shared
    cp "$ROOT/build/fixtures/libstore.so" ld-musl-x86_64.so.1 # the name is what counts
    hang "$PYTHON" -c "import ctypes, time
ctypes.CDLL('./ld-musl-x86_64.so.1')
print('begun', flush=True); time.sleep(100)"
    says begun
    look_at "$pid"
    refuses_process ' uses musl; this is for processes with glibc'
}

@test "a kernel that hides what threads wait for" {
    require "needs root and mount namespaces" can_mount
    sleeps
    # shellcheck disable=SC2016 # the inner shell expands it
    limited 30 unshare --mount sh -c 'mount --bind /dev/null "/proc/$2/task/$2/syscall" && exec "$1" --pid "$2"' \
        sh "$ROOT/run-with-shim.sh" "$pid"
    refuses_process ": the kernel hides what its threads wait for (/proc/$pid/task/\*/syscall)"
}

@test "names of files do nothing to the terminal" {
    local name=$'sl\033]0;title\007eep'
    cp "$(command -v sleep)" "$name"
    hang "$PWD/$name" 100
    until_so grep -q ']0;title' "/proc/$pid/comm"
    look_at "$pid"
    refuses_process ': there is no CPython in it (*/sl?]0;title?eep)'
    [[ $output != *[$'\033\007']* ]] || told "control characters"
}

has_zombie() {
    child=$(cd /proc && grep -l "^PPid:.$pid\$" [0-9]*/status 2>/dev/null | cut -d / -f 1) || :
    [ -n "$child" ] && grep -q '^State:.Z' "/proc/$child/status"
}
@test "a zombie" {
    hang bash -c 'sleep 0.1 & exec sleep 100'
    until_so has_zombie
    look_at "$child"
    pid=$child
    refuses_process ' has ended: it is a zombie, which its parent has not waited for'
}

@test "a thread of the kernel" {
    pid=2
    require "needs to see the kernel's threads" grep -q kthreadd /proc/2/comm
    look_at 2
    refuses_process ' is a thread of the kernel*'
}

runs() { local status=0; timeout 0.2 "$@" || status=$?; [ "$status" -eq 124 ]; }
# A program for another kind of machine: what counts is the header of the executable as it is in memory.
@test "a 32-bit process" {
    printf '%s\n' '.globl _start' '_start: pause' 'jmp _start' >program.s
    as --32 -o program.o program.s 2>/dev/null && ld -m elf_i386 -o 32bit program.o 2>/dev/null || :
    require "needs 32-bit programs" runs ./32bit
    hang ./32bit
    until_so grep -qx 32bit "/proc/$pid/comm"
    look_at "$pid"
    refuses_process ' is a 32-bit process; this is for 64-bit processes'
}

is_root() { [ "$(id -u)" -eq 0 ] && command -v setpriv; }

@test "another user's process, and one that forbids it: says what would help" {
    require "needs root and setpriv" is_root
    sleeps
    cp "$ROOT/build/gilshim-inspect" inspect
    chmod 755 . inspect
    limited 30 setpriv --reuid 65534 --regid 65534 --clear-groups "$PWD/inspect" "$pid"
    refuses_process ': not permitted: it belongs to user 0; run this as that user or as root'
    unhang
    hang setpriv --reuid 65534 --regid 65534 --clear-groups "$PYTHON" -S -c 'import ctypes, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) # PR_SET_DUMPABLE
print("begun", flush=True)
time.sleep(100)'
    says begun
    limited 30 setpriv --reuid 65534 --regid 65534 --clear-groups "$PWD/inspect" "$pid"
    refuses_process ': not permitted: it *'
    look_at "$pid"
    is_status 1 # root may
}

@test "a process that waits for nothing: 1, and what was seen" {
    sleeps
    look_at "$pid" -s 0.1
    is_status 1
    has_line "==$pid== gilshim: no stall: CPython $PY_VERSION*, 1 thread: the GIL was free, in 0.1 s; nobody waits for it"
    # The id of any thread of it will do.
    hang "$PYTHON" -S -c "import threading, time
threading.Thread(target=time.sleep, args=(100,)).start()
print('begun', flush=True); time.sleep(100)"
    says begun
    local tasks=("/proc/$pid/task"/*)
    look_at "${tasks[1]##*/}" -s 0.1
    has_line "==$pid== gilshim: no stall: *, 2 threads: *"
}

@test "a holder that nobody waits for: 1, and where it is" {
    use_python static || use_python shared
    hang "$PYTHON" -S -c "import ctypes
print('begun', flush=True)
ctypes.PyDLL(None).usleep(100000000)"
    says begun
    look_at "$pid"
    is_status 1
    has_line "==$pid== gilshim: no stall: *: thread $pid * had the GIL at each look, in 0.3 s; nobody waits for it"
    has_line '*it is in *nanosleep*'
    has_line '*File "<string>", line 3 in <module>'
}

can_mount() { unshare --mount sh -c 'mount -t tmpfs none /mnt'; }

# As in a container: the numbers of its threads and the files of its libraries are others than ours.
@test "a process in namespaces of its own" {
    require "needs root and mount namespaces" can_mount
    use_python static || use_python shared
    mkdir inside
    # shellcheck disable=SC2016 # the inner shell expands it
    hang unshare --mount --pid --fork sh -c 'mount --bind "$1" "$2" && shift && folder=$1 && shift && exec "$@" "$folder" lock_order' \
        sh "$ROOT/build/fixtures" "$PWD/inside" "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py"
    until_so sh -c 'grep -q . "/proc/$0/task/$0/children"' "$pid"
    pid=$(tr -d ' ' <"/proc/$pid/task/$pid/children")
    explains "==$pid== gilshim: stall: deadlock between libengine.so and libstore.so: * (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that thread $pid *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)"
    [ ! -e inside/libstore.so ] # here
    has_line '*#*libstore.so!store_read+0x*'
}

@test "a process that is stopped as a whole is said to be" {
    sleeps
    kill -STOP "$pid"
    until_so grep -q '^State:.T' "/proc/$pid/status"
    look_at "$pid"
    is_status 0
    has_line "==$pid== gilshim: stopped: the whole process is stopped by a signal*"
    grep -q '^State:.T' "/proc/$pid/status"
}

# The files in which the kernel says it, made by hand: to freeze anything takes control groups that may be written to.
@test "a process that is frozen by its control group is said to be" {
    require "needs root and mount namespaces" can_mount
    sleeps
    mkdir -p v2/some.slice v1/freezer/some.slice both/unified/some.slice
    printf 'populated 1\nfrozen 1\n' | tee v2/some.slice/cgroup.events >both/unified/some.slice/cgroup.events
    echo FROZEN >v1/freezer/some.slice/freezer.state
    local version
    for version in v2 v1 both; do
        printf '6:freezer:%s\n1:name=systemd:/\n0::/some.slice\n' "$([ $version = v1 ] && echo /some.slice || echo /)" >groups
        # shellcheck disable=SC2016 # the inner shell expands it
        limited 30 unshare --mount sh -c 'mount --bind "$3" /sys/fs/cgroup && mount --bind groups "/proc/$2/task/$2/cgroup" && exec "$1" --pid "$2"' \
            sh "$ROOT/run-with-shim.sh" "$pid" "$PWD/$version"
        is_status 0
        has_line "==$pid== gilshim: stopped: the whole process is frozen by its control group (docker pause, systemctl freeze); *"
    done
    sed -i 's/1$/0/' v2/some.slice/cgroup.events
    # shellcheck disable=SC2016
    limited 30 unshare --mount sh -c 'mount --bind v2 /sys/fs/cgroup && mount --bind groups "/proc/$2/task/$2/cgroup" && exec "$1" --pid "$2"' \
        sh "$ROOT/run-with-shim.sh" "$pid"
    is_status 1
}

# The main thread has ended, others go on: it is a zombie, and its memory is read through another thread.
@test "a process whose main thread has ended" {
    use_python static || use_python shared
    hang "$PYTHON" -S -c "import ctypes, threading, time
def work():
    time.sleep(0.5)
    print('begun', flush=True)
    ctypes.PyDLL(None).usleep(100000000) # with the GIL held
threading.Thread(target=work).start()
threading.Thread(target=time.sleep, args=(1,)).start()
ctypes.CDLL(None).pthread_exit(None)"
    says begun
    explains '*stall: thread * has waited for the GIL for at least * s (*); thread * holds it (in *'
}

@test "a library whose file was deleted or replaced is named all the same" {
    use_python static || use_python shared
    cp "$ROOT"/build/fixtures/lib{engine,store}.so .
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$PWD" lock_order
    explains '*has the mutex *'
    rm libstore.so
    cp "$ROOT/build/fixtures/libvault.so" libengine.so.new
    mv libengine.so.new libengine.so # another library under the name
    look_at "$pid"
    is_status 0
    has_line '*gilshim: stall: deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that thread *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)'
}

@test "a file that is cut while it is read: 125, and no crash" {
    use_python static || use_python shared
    cp "$ROOT"/build/fixtures/lib{engine,store}.so .
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$PWD" lock_order
    explains '*has the mutex *'
    # shellcheck disable=SC2016 # the inner shell expands it
    limited 30 sh -c '"$0" -s 2 "$1" & sleep 1; : >libengine.so; : >libstore.so; wait $!' "$ROOT/build/gilshim-inspect" "$pid"
    is_status 125
    has_line 'gilshim-inspect: gave up: *'
}

# Waiters wake up so often that they use much CPU time.
@test "a deadlock with a very short switch interval" {
    use_python static || use_python shared
    hang "$PYTHON" -c "import runpy, sys
sys.setswitchinterval(1e-5)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" lock_order
    explains '*gilshim: stall: deadlock between *has the mutex *'
}

@test "Ctrl-C in between leaves the process as it was" {
    use_python static || use_python shared
    hang "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" lock_order
    explains '*has the mutex *'
    traces before
    limited 30 timeout -s INT 1 "$ROOT/build/gilshim-inspect" -s 20 "$pid"
    is_status 124
    traces after
    diff before after || told "the process is not as it was"
}

@test "what can't be written is a failure" {
    sleeps
    limited 30 sh -c '"$0" "$1" >/dev/full' "$ROOT/build/gilshim-inspect" "$pid"
    is_status 125
    has_line "gilshim-inspect: can't write: *"
}

# Tells how often its threads count in two seconds, and how many of them do, first before and then after the looks. Of so many
# threads that want the GIL, CPython may let one wait for long.
busy_threads='
import sys, threading, time
counts = [0] * 64
def count(index):
    while True:
        counts[index] += 1
for index in range(64):
    threading.Thread(target=count, args=(index,), daemon=True).start()
def work():
    before = list(counts)
    time.sleep(2)
    done = [now - then for now, then in zip(counts, before)]
    return "%d %d" % (sum(done), sum(map(bool, done)))
print("begun", flush=True)
print("before", work(), flush=True)
while not __import__("os").path.exists(sys.argv[1]):
    time.sleep(0.05)
print("after", work(), flush=True)
time.sleep(100)
'
as_it_is() { (cd "/proc/$pid" && ls fd task && awk '{ print $1, $2, $6 }' maps && grep -E '^(Sig[BCIP]|Shd|TracerPid|Threads)' status); }

@test "64 busy threads, looked at 100 times in a row: no stall, the process is as it was, and works as before" {
    use_python static || use_python shared
    LIMIT=120 hang "$PYTHON" -S -c "$busy_threads" "$PWD/go-on"
    says before
    as_it_is >before
    local i
    for ((i = 0; i < 100; i++)); do
        look_at "$pid" -s 0.02
        is_status 1
        has_line "==$pid== gilshim: no stall: *, 65 threads: *"
    done
    as_it_is | diff before - || told "something has changed"
    touch go-on
    says after
    local before after threads_before threads_after
    read -r before threads_before <<<"$(sed -n 's/^before //p' "$BATS_TEST_TMPDIR/program")"
    read -r after threads_after <<<"$(sed -n 's/^after //p' "$BATS_TEST_TMPDIR/program")"
    # A busy machine varies by as much.
    [ "$after" -ge $((before / 3)) ] && [ "$threads_after" -ge $((threads_before / 2)) ] ||
        told "$before by $threads_before threads before, $after by $threads_after after"
}

# Each processor's clock stands still while the hypervisor has the processor, so they differ by seconds after a while.
@test "how long the holder has not run: by the clock of its own processor" {
    use_python static || use_python shared
    local processor other
    for processor in $(taskset -cp $$ | sed 's/.*: //; s/[,-]/ /g'); do
        hang taskset -c "$processor" "$PYTHON" -S -c '
import ctypes, threading, time
print("begun", flush=True)
threading.Thread(target=lambda: ctypes.PyDLL(None).sleep(100)).start()
while True:
    pass'
        local begin=$EPOCHREALTIME
        says begun
        sleep 0.5
        for other in $(taskset -cp $$ | sed 's/.*: //; s/[,-]/ /g'); do
            limited 60 taskset -c "$other" "$ROOT/run-with-shim.sh" --pid "$pid" -j
            limited 10 "$PYTHON" -S -c '
import json, sys
passed = float(sys.argv[3]) - float(sys.argv[2])
process = [one for one in map(json.loads, sys.argv[1].splitlines()) if one["type"] == "process"][0]
still = process.get("holder_still", 0)
assert 0 < still < passed + 0.1, (still, passed)' "$output" "$begin" "$EPOCHREALTIME"
            is_status 0 || return
        done
        unhang
    done
}

# Only 64 are watched. What a process says of its interpreters need not be true.
@test "more GILs than are watched, all of interpreter 0: the waiter's state is the one of a GIL that is watched" {
    use_python shared || use_python static
    require "needs 3.13 or later, where two threads may run code in one interpreter" python_from 3.13
    hang "$PYTHON" -S "$ROOT/tests/inspect/many_gils.py"
    says hangs
    explains '*gilshim: stall: *'
    has_line '*  waits: thread * for the GIL of interpreter 0 *, to attach state 0x*'
}
