#!/usr/bin/env bats
# README's table of failures ("What do you see?"): one program for each class of GIL failures. The command that the table names is
# given, and the first line names the library at fault, with its function, within 100 columns. Rows that are tested elsewhere:
# --pid: 66-inspect.bats; --core: 68-core.bats; two libpythons: tests/10-binding.bats; --check: tests/42-wrapper-programs.bats.
# tests/52-readme.bats compares the table's commands and names with what there is.

load ../helpers
load ../stalls
load ../fixtures/life/life

# The reports go where the stack's own output goes; the wrapper's options are those of the table.
wrapped() {
    limited "${LIMIT:-60}" env -u LD_PRELOAD GILSHIM_OPTIONS="${SHIM_OPTIONS:-}" "$ROOT/run-with-shim.sh" "$@"
}
# names KIND LIBRARY FUNCTION: the first message is of this kind, and has both within 100 columns, prefix not counted.
names() {
    local line first=''
    for line in "${lines[@]}"; do
        case $line in *'gilshim: summary'* | *'gilshim: bound'*) continue ;; '=='*'gilshim: '*) first=${line#*gilshim: } && break ;; esac
    done
    # shellcheck disable=SC2254
    case ${first:0:130} in $1*$2*) ;; *) told "the first message is not $1 of $2: $first" || return ;; esac
    # shellcheck disable=SC2254
    case ${first:0:130} in *$3*) ;; *) told "the first message does not name $3: $first" ;; esac
}
shape() { command=("$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" "$1"); }

@test "1. Python's API without the GIL" {
    PYTHONPATH=$FIXTURES wrapped -c calls "$PYTHON" -S -c "import gilcheck; gilcheck.run('saved')"
    names 'GIL error: no_gil: ' libgilcheck.so 'libgilcheck.so!saved+0x'
}

@test "2. threads that come while Python ends, or after it" {
    if python_before 3.0 || ! python_before 3.14; then return 0; fi # 2.7 lets such threads in, 3.14 parks them
    life_command module script-ensure
    wrapped -v "${command[@]}"
    names 'repaired finalize: ' 'lib*.so' 'lib*.so!*+0x'
}

# check=locks is about the GIL: with it off there is none to order (53-free-threaded.bats has what hangs then).
@test "3. two locks in two orders: before it hangs, and when it hangs" {
    # shellcheck disable=SC2030,SC2031 # each test is a subshell
    ! is_free_threaded || export PYTHON_GIL=1
    wrapped -c locks "$PYTHON" "$ROOT/tests/fixtures/locks/locks.py" "$ROOT/build/fixtures" plugin run
    names 'GIL error: lock_order: ' liblockplugin.so 'liblockplugin.so!plugin_get_metadata+0x'
    stalls lock_order 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: *'
    # Also with -q, and in FILE.PID.
    SHIM_OPTIONS=verbosity=0:summary=0 stalls lock_order 'gilshim:   advice:'
    first_line '*stall: deadlock between libengine.so and libstore.so: *'
}

@test "3, with the GILs of two interpreters" {
    python_before 3.12 && return
    # shellcheck disable=SC2030,SC2031 # each test is a subshell
    ! is_free_threaded || export PYTHON_GIL=1
    stalls gils_joined 'gilshim:   advice:'
    first_line '*stall: deadlock across GILs between lib*.so and lib*.so: *'
}

@test "4. a sub-interpreter and PyGILState_Ensure" {
    python_before 3.12 || return 0 # repaired in CPython itself
    shape subinterpreter-held
    wrapped -v "${command[@]}"
    is_status 0
    names 'repaired subinterp: ' gilshapes.so 'gilshapes.so!subinterpreter_held+0x'
}

@test "5. two libraries, two thread states of one thread" {
    shape held
    wrapped -v "${command[@]}"
    is_status 0
    names 'repaired held: ' libhandmade.so 'libhandmade.so!handmade_begin+0x'
    shape cached
    wrapped -v "${command[@]}"
    is_status 0
    names 'repaired cached: ' libold-first.so 'libold-first.so!oldgil_acquire_begin+0x'
}

@test "6. a habit that a later CPython does not allow" {
    shape null
    wrapped -v "${command[@]}"
    is_status 0
    names 'repaired null: ' gilshapes.so 'gilshapes.so!null+0x'
}

@test "7. Ensure and Release on different threads" {
    wrapped "$PYTHON" -S -c "import sys; sys.path.insert(0, '$FIXTURES'); import misuse; misuse.run('thread-release')"
    names 'FATAL would follow: ' misuse.so 'misuse.so!misuse_release+0x'
}

@test "8. a fork with a second state attached" {
    script_may_finalize || return 0
    life_command module fork-held
    wrapped -v "${command[@]}"
    is_status 0
    names 'repaired ' 'lib*.so' 'lib*.so!*+0x'
}

@test "9. a thread state that is deleted while it is used" {
    wrapped "$PYTHON" -S -c "import sys; sys.path.insert(0, '$FIXTURES'); import misuse; misuse.run('delete')"
    names 'FATAL would follow: ' misuse.so 'misuse.so!misuse_delete+0x'
}

# What switches stacks keeps one state for all of them: nothing is to be said.
@test "10. stacks that are switched: nothing is reported" {
    [ -e "$FIXTURES/gillegal.so" ] || return 0
    wrapped -v "$PYTHON" -S "$ROOT/tests/fixtures/legal/run.py" "$FIXTURES" greenlets:plain:2
    has_no_line '*gilshim: repaired [a-z]*: *'
}

@test "a crash says whether it was the GIL" {
    wrapped "$PYTHON" -S -c 'import ctypes; ctypes.string_at(8)'
    names 'crash: ' '' ''
}
