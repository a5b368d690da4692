#!/usr/bin/env bats
# The thread state under a library's own key. share: it is the thread's own state, with all that belongs to it, and not a second
# one. cached: it is not a dead state. freed: a Release inside the last Clear of a state does not free it. The programs are in
# tests/fixtures/life/share.c.

load ../helpers
load ../fixtures/life/life

# What is freed is overwritten at once: whoever uses it, fails.
export GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.perturb=165

cached='cached-release cached-delete-current cached-delete cached-interpreter cached-elsewhere'
has_contexts() { ! python_before 3.7; }
has_loops() { ! python_before 3.6; }

setup_file() {
    local program
    for program in share-local share-libraries share-asked $cached freed-in-clear; do ahead bare module "$program"; done
    for program in share-local share-libraries share-asked; do ahead repair=all,-share module "$program"; done
    if has_contexts; then
        ahead bare module share-context
        ahead repair=all,-share module share-context
    fi
    if has_loops; then
        ahead bare module share-loop
        ahead repair=all,-share module share-loop
    fi
    for program in $cached; do ahead repair=all,-cached module "$program"; done
    ahead repair=all,-freed module freed-in-clear
    ahead repair=none module freed-in-clear
    ahead_end
}

# repaired NAME PROGRAM
repaired() {
    failed_ahead bare module "$2"
    works module "$2" "*repaired $1: *"
    failed_ahead "repair=all,-$1" module "$2"
}

@test "share: threading.local in pybind11's call-back on a Python thread" { repaired share share-local; }
@test "share: contextvars" { ! has_contexts || repaired share share-context; }
@test "share: asyncio's running loop" { ! has_loops || repaired share share-loop; }
@test "share: three libraries' keys, one of a library opened late" { repaired share share-libraries; }
@test "share: a key that is asked again and again, before and after a state is filed, and after it is emptied" {
    failed_ahead bare module share-asked
    works module share-asked
    failed_ahead repair=all,-share module share-asked
}
@test "share: dissociation still gives a new state" {
    # A debug build up to 3.11 refuses the second state, which the library is after.
    if [ "$PY_BUILD" != debug ] || ! python_before 3.12; then works_bare module share-dissociated; fi
    works module share-dissociated
    works embed share-dissociated
}

@test "cached: the state dies in PyGILState_Release, pybind11's issue 2888" { repaired cached cached-release; }
@test "cached: the state dies in another library's DeleteCurrent" { repaired cached cached-delete-current; }
@test "cached: the state dies in another library's Delete" { repaired cached cached-delete; }
@test "cached: the state dies with its interpreter" { repaired cached cached-interpreter; }
@test "cached: the state dies by another thread's hand" { repaired cached cached-elsewhere; }

@test "freed: a destructor asks for the GIL in pybind11's dec_ref, pybind11's issue 5827" {
    repaired freed freed-in-clear
    failed_ahead repair=none module freed-in-clear
}
