# stall=SECONDS: the first line names real deadlocks between two libraries (tests/fixtures/stall). A healthy program is neither
# reported nor disturbed.

load helpers
load stalls

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# For a static and a shared CPython: runs the function after use_python.
for_each_kind() {
    local kind
    for kind in static shared; do
        use_python "$kind" || continue
        "$@" || told "with $PY_TAG" || return
    done
}

names_deadlock() {
    stalls "$1" 'gilshim:   advice:'
    first_line "$2"
    has_line '*native stack of the holder*'
    has_line "*libengine.so!engine_enter_python*"
    has_python_stack '*File "*stall.py", line *'
}

@test "a mutex and the GIL in both orders: both libraries" {
    for_each_kind names_deadlock lock_order \
        '*stall: deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) and has the mutex that thread *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)'
}

@test "the static of a C++ function and the GIL: both libraries" {
    for_each_kind names_deadlock guard \
        '*stall: deadlock between libengine.so and libsettings.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!*) while it initializes the C++ static that thread *, which holds the GIL, waits for (in libsettings.so!settings::get+0x*)'
}

# check=locks has a function of its own between the two, and tells of the order as well.
names_guard_checked() {
    SHIM_OPTIONS=check=locks stalls guard 'gilshim:   advice:.*static'
    has_line '*stall: deadlock between libengine.so and libsettings.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!*) while it initializes the C++ static that thread *, which holds the GIL, waits for (in libsettings.so!settings::get+0x*)'
    has_line '*#*libstdc++.so.*!__cxa_guard_acquire+0x*'
}

@test "the same with check=locks" {
    for_each_kind names_guard_checked
}

# The first report already: the ten threads that have waited longer are not the deadlock's.
names_guard_last() {
    SHIM_OPTIONS=stall=1.5 names_deadlock guard_last \
        '*stall: deadlock between libengine.so and libsettings.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!*) while it initializes the C++ static that thread *, which holds the GIL, waits for (in libsettings.so!settings::get+0x*)'
    [ "$(count_lines '*native stack of the waiting thread*')" -eq 2 ] # the longest, and the partner
    has_line '*#*libsettings.so!settings_get+0x*'
}

@test "the same with a waiter who came last of eleven: both libraries" {
    for_each_kind names_guard_last
}

@test "call_once and the GIL: both libraries, and the third that they met in" {
    for_each_kind names_deadlock once \
        '*stall: deadlock between libengine.so and libstore.so, inside libvault.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) inside the pthread_once (std::call_once) that thread *, which holds the GIL, waits for (in libvault.so!vault_begin+0x*, called by libstore.so!store_begin_vault_after+0x*)'
}

@test "a third library's own lock and the GIL: both libraries, and the third" {
    for_each_kind names_deadlock inside \
        '*stall: deadlock between libengine.so and libstore.so, inside libvault.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) inside the library in whose lock thread *, which holds the GIL, sleeps (in libvault.so!vault_enter+0x*, called by libstore.so!store_read_vault_after+0x*)'
}

@test "two mutexes and the GIL in a circle of three threads: both libraries" {
    for_each_kind names_deadlock circle \
        '*stall: deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!engine_enter_python+0x*) in a circle of mutexes at whose end is thread *, which holds the GIL (in libstore.so!store_lock_next+0x*)'
}

@test "a join with the GIL held: both libraries" {
    for_each_kind names_deadlock join \
        "*stall: deadlock between libengine.so and libstore.so: thread * waits for the GIL (PyGILState_Ensure, called by libengine.so!*) and thread *, which holds the GIL, waits for that thread's end (in libstore.so!store_await+0x*)"
}

# 2.7's own loop is not looked into.
names_unseen() {
    python_from 3 || return 0
    stalls "$1" 'gilshim:   advice:'
    first_line "*stall: deadlock between libengine.so and libstore.so: thread * waits for the GIL (in the interpreter's eval loop, below libengine.so!run_callback+0x*) and has the mutex that thread *, which holds the GIL, waits for (in libstore.so!store_lock+0x*)"
}

@test "a thread that lost the GIL in CPython's own loop, with a mutex in its hands" {
    for_each_kind names_unseen unseen
}

@test "the same behind 600 other threads" {
    for_each_kind names_unseen unseen_in_crowd
}

names_never() {
    stalls never 'gilshim:   advice:'
    first_line '*stall: libstore.so has the GIL: thread * has waited for the GIL for * s (PyGILState_Ensure, called by libengine.so!*); thread * holds it (in libstore.so!store_sleep+0x*)'
    has_line '*it is in *poll*'
}

@test "a main thread that never lets go" {
    for_each_kind names_never
}

names_python_thread() {
    python_from 3 || return 0
    stalls python_thread 'gilshim:   advice:'
    first_line "*stall: libstore.so has the GIL: thread * has waited for the GIL for * s (in the interpreter's eval loop); thread * holds it (in libstore.so!store_sleep+0x*)"
    has_python_stack '*File "*stall.py", line * in hold'
}

@test "a holder that no library has met before, and a waiter that none has" {
    for_each_kind names_python_thread
}

# From 3.13 on CPython ends the program by a message of its own.
names_itself() {
    python_before 3.13 || return 0
    SHIM_OPTIONS=repair=none stalls itself 'gilshim:   advice:'
    first_line '*stall: deadlock of a thread with itself, in libengine.so*: thread * waits for the GIL (PyEval_AcquireThread, called by libengine.so!engine_attach_again+0x*) that it holds itself*'
}

@test "a thread that waits for itself, with the repair switched off" {
    for_each_kind names_itself
}

@test "log_format=json: one object, with both sides and the stacks" {
    use_python static || use_python shared
    local frame='in lock_order'
    ! python_stack_is_hidden || frame=''
    SHIM_OPTIONS=log_format=json stalls lock_order '"type": "stall"'
    without python3 -c '
import json, sys
stall = json.loads(sys.argv[1])
assert stall["deadlock"] == "lock order" and not stall["repeated"] and stall["waiters"] >= 1
waiter, holder = stall["waiter"], stall["holder"]
assert (waiter["library"], holder["library"]) == ("libengine.so", "libstore.so")
assert waiter["call"] == "PyGILState_Ensure" and waiter["waited"] > 0
assert holder["system_call"] == "futex" and holder["waits_for_mutex"] and holder["waits_for_tid"] == waiter["tid"]
assert any("libstore.so!store_read+" in frame for frame in holder["native_stack"])
assert any(sys.argv[2] in line for line in holder["python_stack"]) if sys.argv[2] else holder["no_python_stack"]
' "${lines[0]}" "$frame"
    is_status 0
}

@test "a stall goes on: told at doubled times, in one line while nothing moves" {
    use_python static || use_python shared
    stalls lock_order 'nothing has moved for '
    [ "$(count_lines '*native stack of the holder*')" -eq 1 ]
}

@test "in a fork child too, in its own log" {
    use_python shared || use_python static
    stalls forked 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: *'
}

passes() {
    SHIM_OPTIONS=stall=0.3:log_path=$BATS_TEST_TMPDIR/passing works_with \
        "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" "$1" "$BATS_TEST_TMPDIR/passing"
    output=$(cat passing.*)
    rm passing.*
    IFS=$'\n' read -r -d '' -a lines <<<"$output" || :
    first_line "*stall: libstore.so has the GIL: thread * has waited for the GIL for * s (PyGILState_Ensure, called by libengine.so!*); thread * holds it (in libstore.so!$2+0x*)"
    has_line '*stall: over after * s: thread * waits no longer'
}

@test "a stall that ends is told to have ended; the host's signals are as they were" {
    for_each_kind passes passing store_compute_after
}

@test "a holder's system call is not cut short" {
    require "$NEEDS_KERNEL" has_kernel # which says in what call a thread is
    for_each_kind passes napping store_nap_after
    use_python static || use_python shared
    SHIM_OPTIONS=stall=0.3 works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" napping
    has_line '*it is in *nanosleep*'
    has_line '*#*libstore.so!store_nap_after+0x*'
}

# A handler on such a thread could not ask CPython anything: it may be in malloc, which gives it its thread-locals.
@test "threads that have nothing to do with Python are left alone where libpython was opened late" {
    use_python shared || require "needs a shared libpython" false
    local libpython
    libpython=$(ldd "$FIXTURES/paint" | sed -n 's/.*libpython[^ ]* => \([^ ]*\) .*/\1/p')
    SHIM_OPTIONS=stall=0.05:log_path=$BATS_TEST_TMPDIR/late works_with "$ROOT/build/fixtures/late-stall" "$libpython"
    has_line beating
    [ "$(grep -c 'gilshim: stall: ' "$BATS_TEST_TMPDIR"/late.*)" -ge 5 ]
}

is_well() {
    SHIM_OPTIONS=stall=3 works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" healthy 5
    is_silent
}

@test "threads that share the GIL are not spoken of" {
    for_each_kind is_well
}

counts_crowd() {
    KIND_ARGUMENTS=1000 stalls crowd 'gilshim:   advice:'
    has_line '*stall: libstore.so has the GIL: thread * has waited for the GIL *; thread * holds it (in libstore.so!store_sleep+0x*)*'
    has_line '*  waits: *[0-9] threads in all'
    [ "$(count_lines '*  waits: thread *')" -le $((6 * $(count_lines '*gilshim: stall: *'))) ]
}

@test "a thousand threads that wait: counted, not listed, and the holder found" {
    for_each_kind counts_crowd
}

@test "with stderr closed or full the program goes on" {
    use_python static || use_python shared
    local redirect
    for redirect in '2>&-' '2>/dev/full'; do
        SHIM_OPTIONS=stall=0.3 works_with sh -c "exec \"\$@\" $redirect" sh \
            "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" passing
        is_silent
    done
}

ends() {
    SHIM_OPTIONS=stall=1 works_with "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" last
}

@test "the watch does not keep a process alive whose threads have all ended" {
    require "$NEEDS_KERNEL" has_kernel # qemu-user's own threads go on
    for_each_kind ends
}

@test "without the option there is no thread" {
    require "$NEEDS_KERNEL" has_kernel # qemu-user has threads of its own
    use_python static || use_python shared
    local program=("$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" idle)
    SHIM_OPTIONS='' works_with "${program[@]}"
    has_line 'Threads:?1'
    SHIM_OPTIONS=stall=100 works_with "${program[@]}"
    has_line 'Threads:?2'
}

# What a program with one thread drops, it drops for the process.
@test "nor while the program has one thread itself" {
    require "$NEEDS_KERNEL" has_kernel # qemu-user has threads of its own
    use_python static || use_python shared
    local program=("$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" idle alone)
    SHIM_OPTIONS=stall=100:timeline=$BATS_TEST_TMPDIR/trace works_with "${program[@]}"
    has_line 'Threads:?1'
    [ "$(grep -c '"ph"' "$BATS_TEST_TMPDIR"/trace.*)" -ge 10 ] # all of it is written at the end
}

# The watch would keep what the other threads have given up: it ends, and says why.
@test "a thread that drops its privileges is left alone" {
    require "$NEEDS_KERNEL" has_kernel # qemu-user has threads of its own
    use_python static || use_python shared
    cat >dropping.py <<'PYTHON'
import ctypes, os, sys, threading, time
libc, never = ctypes.CDLL(None), threading.Event()
threading.Thread(target=never.wait, daemon=True).start()
ctypes.CDLL(sys.argv[1]).engine_enter_often(10)
time.sleep(0.3)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
end = time.time() + 30
while time.time() < end and len(os.listdir("/proc/self/task")) > 2:
    time.sleep(0.05)
print(len(os.listdir("/proc/self/task")), flush=True)
os._exit(0)
PYTHON
    SHIM_OPTIONS=stall=100:timeline=trace works_with "$PYTHON" dropping.py "$ROOT/build/fixtures/libengine.so"
    has_line 2
    has_line '*the stall watch ends: the program has given up privileges that this thread would keep'
}

@test "without /proc a process ends whose main thread has left" {
    use_python static || use_python shared
    require "needs root and mount namespaces" chroot / true
    mkdir empty
    cat >leaving.py <<'PYTHON'
import ctypes, os, sys, threading, time
ctypes.CDLL(sys.argv[1]).engine_enter_often(10)
thread = threading.Thread(target=ctypes.CDLL(None).usleep, args=(300000,))
thread.start()
os.chroot("empty")
ctypes.CDLL(None).pthread_exit(None)
PYTHON
    SHIM_OPTIONS=stall=0.2:timeline=trace LIMIT=20 works_with "$PYTHON" leaving.py "$ROOT/build/fixtures/libengine.so"
}
