#!/usr/bin/env bats
# check=locks: the order in which locks and the GIL are taken, and waits with the GIL held. The programs
# (tests/fixtures/locks) do not hang, but for two that say so: the order alone is told.

load ../helpers

libraries=$ROOT/build/fixtures
programs=$ROOT/tests/fixtures/locks

# With the GIL off there is no order to keep with it: see the last test.
setup() { ! is_free_threaded || export PYTHON_GIL=1; }

# checked LIBRARY FUNCTION...: calls them with the GIL held, with check=locks and $MORE.
checked() {
    SHIM_OPTIONS=check=locks${MORE:+:$MORE} with_shim "$PYTHON" "$programs/locks.py" "$libraries" "$@"
}
ends_well() {
    is_status 0
    has_line 'done'
}
# Nothing is told of these.
is_healthy() {
    local name library=$1
    shift
    for name in "$@"; do
        checked "$library" "$name"
        ends_well
        has_no_line '*gilshim*' || told "told of: $library $name"
    done
}
# found KIND LIBRARY REST: one line, which names the library first.
found() {
    has_line "==*== gilshim: GIL error: $1: $2: $3*"
    [ "$(count_lines '*gilshim: GIL error: *')" -eq 1 ] || told "more than one finding"
}

@test "grpc 26009: a plugin takes the GIL with the core's mutex held" {
    without "$PYTHON" "$programs/locks.py" "$libraries" plugin run
    ends_well
    checked plugin run
    ends_well
    found lock_order liblockplugin.so "PyGILState_Ensure by liblockplugin.so!plugin_get_metadata+0x* on tid * with mutex 0x* (liblockplugin.so!plugin_mutex): *: liblockplugin.so!core_cancel+0x* on tid * waits for it with the GIL"
    has_line '*gilshim:   order 1: tid *: the GIL, then mutex 0x* by liblockplugin.so!core_cancel+0x*'
    has_line '*gilshim:   order 2: tid *: mutex 0x* taken by liblockplugin.so!core_fetch_metadata+0x*, then the GIL in PyGILState_Ensure by *'
    has_line '*gilshim:   advice: give up the lock before*'
}

@test "ceph 38677: the way back to the GIL leads over two mutexes" {
    checked mgr run
    ends_well
    found lock_order liblockmgr.so "PyGILState_Ensure by liblockmgr.so!mgr_handle_osdmap+0x* on tid * with mutex 0x* (liblockmgr.so!objecter_lock): *: liblockmgr.so!mgr_get_osdmap+0x* on tid * waits for a lock before it with the GIL"
    has_line '*gilshim:   order 2: tid *: mutex 0x* (liblockmgr.so!modules_lock) taken by liblockmgr.so!mgr_notify_all+0x*, then mutex 0x* (liblockmgr.so!objecter_lock) by liblockmgr.so!mgr_with_osdmap+0x*'
    checked cases three
    ends_well
    found lock_order liblockcases.so "*inner_gil_thread+0x*"
}

@test "pytorch 58382: a std::mutex in an object; the same memory used again is another mutex" {
    checked future run
    ends_well
    found lock_order liblockfuture.so "PyGILState_Ensure by liblockfuture.so!Future::mark_completed+0x* on tid * with mutex 0x*"
    is_healthy future reused
    is_healthy cases made_again
}

@test "a static local variable and std::call_once, whose initialization takes the GIL; as pybind11 recommends it, nothing is told" {
    checked statics run
    ends_well
    found lock_order liblockstatics.so "PyEval_RestoreThread by liblockstatics.so!Settings::Settings+0x* on tid * with guard of a static variable 0x* (liblockstatics.so!settings_value, static variable): *"
    checked statics once
    ends_well
    found lock_order liblockstatics.so "PyGILState_Ensure by liblockstatics.so!initialize+0x* on tid * with pthread_once 0x* (liblockstatics.so!flag): *"
    is_healthy statics careful once_careful once_again once_throws healthy
}

@test "no alarm: one order everywhere, trylock, one thread alone, readers, a condition, recursive, handed over, longjmp, thread ends" {
    is_healthy cases consistent tried alone readers condition recursive handed jumped ended forked
}

@test "told: a recursive mutex given back once of twice, a writer against a reader" {
    checked cases recursive_held
    ends_well
    found lock_order liblockcases.so "*inner_thread+0x*(liblockcases.so!recursive_mutex)*"
    checked cases writer
    ends_well
    found lock_order liblockcases.so "*write_thread+0x*with rwlock 0x* (liblockcases.so!write_lock)*"
}

@test "once for each pair of places, and as JSON" {
    checked plugin run run run
    ends_well
    [ "$(count_lines '*gilshim: GIL error: *')" -eq 1 ]
    MORE=log_format=json checked plugin run
    ends_well
    has_line '{*"type": "gil_error", "name": "lock_order"*"culprit": "liblockplugin.so"*"orders": \[{*"first": "the GIL"*"second": "mutex 0x*"*}*\]*}'
}

@test "told: a wait with the GIL held, while another thread waits for the GIL" {
    checked cases waits
    ends_well
    found waits_with_gil liblockcases.so "sem_timedwait by liblockcases.so!waits+0x* on tid *: tid * is in PyGILState_Ensure by liblockcases.so!slow_thread+0x*"
    checked cases waits_condition
    ends_well
    found waits_with_gil liblockcases.so "pthread_cond_timedwait by liblockcases.so!waits_condition+0x*"
    checked cases waits_late
    ends_well
    found waits_with_gil liblockcases.so "pthread_cond_timedwait by liblockcases.so!waits_late+0x*"
}

@test "the same of C11's functions, of a barrier, of a lock and a join with a time limit" {
    checked cases c11_order
    ends_well
    found lock_order liblockcases.so "PyGILState_Ensure by liblockcases.so!c11_thread+0x* on tid * with mutex 0x* (liblockcases.so!c11_mutex)*"
    has_line '*gilshim:   order *: mutex 0x* taken by liblockcases.so!c11_thread+0x*'
    checked cases c11_once
    ends_well
    found lock_order liblockcases.so "*with pthread_once 0x* (liblockcases.so!c11_flag)*"
    checked cases c11_waits
    ends_well
    found waits_with_gil liblockcases.so "cnd_timedwait by liblockcases.so!c11_waits+0x*"
    checked cases clock_order
    ends_well
    found lock_order liblockcases.so "*with rwlock 0x* (liblockcases.so!clock_lock)*"
    checked cases waits_barrier
    ends_well
    found waits_with_gil liblockcases.so "pthread_barrier_wait by liblockcases.so!waits_barrier+0x*"
    checked cases waits_join
    ends_well
    found waits_with_gil liblockcases.so "pthread_timedjoin_np by liblockcases.so!waits_join+0x*"
    is_healthy cases c11
}

@test "a wait that is left by a longjmp or a cancellation is over; the thread ends well, and the next wait is noted" {
    is_healthy cases left cancelled
    checked cases left_often
    ends_well
    found waits_with_gil liblockcases.so "sem_timedwait by liblockcases.so!waits+0x*"
}

@test "a join with the GIL held of a thread that needs it hangs, and is told at once" {
    require "$NEEDS_KERNEL" has_kernel # which says that the thread sleeps
    for name in join join_late; do
        LIMIT=5 checked cases "$name"
        is_status 137
        found waits_with_gil liblockcases.so "pthread_join by liblockcases.so!$name+0x* on tid *: tid *, which it joins, is in PyGILState_Ensure by liblockcases.so!gil_thread+0x*"
    done
    LIMIT=5 checked statics join # std::thread's, which is in libstdc++
    is_status 137
    found waits_with_gil liblockstatics.so "pthread_join by liblockstatics.so!join+0x* on tid *, which it joins, is in PyGILState_Ensure by *"
}

@test "hold=MS tells a wait with the GIL held; by default none is" {
    is_healthy cases holds
    MORE=hold=20 checked cases holds
    ends_well
    found holds_gil liblockcases.so "sem_timedwait by liblockcases.so!holds+0x* on tid * for 0.0* s: *"
    MORE=hold=5000 checked cases holds
    ends_well
    has_no_line '*GIL error*'
}

@test "mode=strict ends at the first finding, check_action=abort aborts there, a suppression leaves it out, mode=off checks nothing" {
    MORE=mode=strict checked plugin run
    is_status 66
    has_line '*gilshim: ending the process here with status 66'
    MORE=check_action=abort checked plugin run
    is_status 134
    has_line '*gilshim: GIL error: lock_order: *'
    echo 'lock_order:liblockplugin.so' >"$BATS_TEST_TMPDIR/list"
    MORE=suppressions=$BATS_TEST_TMPDIR/list checked plugin run
    ends_well
    has_no_line '*gilshim: GIL error*'
    MORE=mode=off checked plugin run
    ends_well
    has_no_line '*gilshim*'
    MORE=exitcode=9 checked plugin run
    is_status 9
}

@test "more locks than a thread's list has room for are told once" {
    checked cases many many
    ends_well
    [ "$(count_lines "*gilshim: warning: check=locks can't judge every lock: *")" -eq 1 ]
    has_no_line '*gilshim: GIL error*'
}

@test "no alarm in threads, queues, hashes, databases, NumPy" {
    SHIM_OPTIONS=check=locks with_shim "$PYTHON" "$programs/healthy.py"
    ends_well
    has_no_line '*gilshim*'
}

# jemalloc, tcmalloc and the sanitizers are preloaded like this. In libc and CPython, too, free has to stay theirs.
@test "another allocator is preloaded: its free stays in use everywhere" {
    gcc -shared -fPIC -O1 -fno-builtin -o "$BATS_TEST_TMPDIR/allocator.so" "$programs/allocator.c"
    local preload
    for preload in "$BATS_TEST_TMPDIR/allocator.so:$GILSHIM_LIB" "$GILSHIM_LIB:$BATS_TEST_TMPDIR/allocator.so"; do
        limited 60 env LD_PRELOAD="$preload" "$PYTHON" "$programs/locks.py" "$libraries" plugin run
        ends_well
        limited 60 env LD_PRELOAD="$preload" GILSHIM_OPTIONS=check=locks "$PYTHON" "$programs/locks.py" "$libraries" plugin run
        ends_well
        found lock_order liblockplugin.so "PyGILState_Ensure by liblockplugin.so!plugin_get_metadata+0x*"
    done
}

# bare, off: lines of libc's functions, and of the protection of pages.
@test "without check=locks libc's exports are untouched; with it, they are redirected, the old pthread_cond_wait is not, and pages have their protection" {
    local bare name
    without "$PYTHON" "$programs/places.py"
    is_status 0
    bare=$output
    has_line 'pthread_mutex_lock libc'
    SHIM_OPTIONS='' with_shim "$PYTHON" "$programs/places.py"
    [ "$output" = "$bare" ] || told "differs from bare: $bare"
    SHIM_OPTIONS=check=calls:mode=observe with_shim "$PYTHON" "$programs/places.py"
    has_line 'pthread_mutex_lock libc'
    SHIM_OPTIONS=check=locks with_shim "$PYTHON" "$programs/places.py"
    is_status 0
    [ "$(grep '^page' <<<"$output")" = "$(grep '^page' <<<"$bare")" ] || told "pages differ from bare: $bare"
    for name in pthread_mutex_lock pthread_mutex_unlock pthread_cond_wait pthread_once pthread_join sem_wait; do
        has_line "$name libgilshim.so"
    done
    ! grep -q 'pthread_cond_wait@GLIBC_2.2.5' <<<"$bare" || has_line 'pthread_cond_wait@GLIBC_2.2.5 libc'
}

@test "with the GIL off nothing is told of it" {
    is_free_threaded || return 0
    export PYTHON_GIL=0
    is_healthy plugin run
    is_healthy cases waits waits_barrier c11 left left_often
}
