#!/usr/bin/env bats
# Every way in which a module or a program can get at the API leads to the shim, and nothing else changes. The scenarios of
# tests/fixtures/binding/scenario.c show it: bare, "plain" ends and "held" hangs or dies.

load ../helpers

scripts=$ROOT/tests/fixtures/binding

setup() {
    export PYTHONPATH=$FIXTURES
}

libpython() {
    ldd "$PYTHON" | awk '/libpython/ { print $3; exit }'
}

# Sets `command`, to which the scenario's name is to be added.
way_in() {
    local how=$1
    case $how in
    late-*)
        # late-local-pointers, late-global-module, late-deep-brings
        local scope=${how#late-} what=pointers
        [ "${scope#*-}" = pointers ] || what=${scope#*-}:$FIXTURES/libbind_plugin.so
        command=("$FIXTURES/../bind_late" "$(libpython)" "${scope%-*}" "$what")
        ;;
    embed) command=("$FIXTURES/bind_embed") ;;
    # not -S: cffi is among the site's packages
    cffi) command=("$PYTHON" "$scripts/pointers.py" cffi) ;;
    pythonapi | PyDLL) command=("$PYTHON" -S "$scripts/pointers.py" "$how") ;;
    PyDLL-libpython) command=("$PYTHON" -S "$scripts/pointers.py" "PyDLL:$(libpython)") ;;
    *) command=("$PYTHON" -S "$scripts/run.py" "bind_$how") ;;
    esac
}

# The bare halves of all tests together: each waits for its own time limit.
setup_file() {
    export PYTHONPATH=$FIXTURES
    local how scenario
    local all=(lazy lazy:RTLD_LAZY now noplt norelro noplt_norelro sysv both needed pythonapi PyDLL)
    [ ! -e "$FIXTURES/bind_embed" ] || all+=(embed)
    [ "$PY_KIND" = static ] || all+=(PyDLL-libpython late-{local,global,deep}-{pointers,module,brings})
    ! has_cffi || all+=(cffi)
    for how in "${all[@]}"; do
        way_in "$how"
        for scenario in plain held; do
            {
                without "${command[@]}" "$scenario" || true
                printf '%s\n' "$status" "$output" >"$BATS_FILE_TMPDIR/$how.$scenario"
            } &
        done
    done
    wait
}

has_cffi() {
    "$PYTHON" -c 'import _cffi_backend' 2>/dev/null
}

leads_to_the_shim() {
    local command scenario
    way_in "$1"

    [ "$(head -n 1 "$BATS_FILE_TMPDIR/$1.plain")" = 0 ] || told "plain failed without the shim: $(cat "$BATS_FILE_TMPDIR/$1.plain")"
    case $(head -n 1 "$BATS_FILE_TMPDIR/$1.held") in
    0 | 1 | 125 | 126 | 127) told "held should hang or die without the shim: $(cat "$BATS_FILE_TMPDIR/$1.held")" ;;
    esac

    for scenario in plain duplicate held; do
        works_with "${command[@]}" "$scenario"
        has_line "done"
    done
}

# How the module's own references to one of the functions are made: JUMP_SLOT, GLOB_DAT.
relocations() {
    readelf --relocs --wide "$FIXTURES/$1.so" | awk '$5 == "PyEval_AcquireThread" { sub(/^R_(X86_64|AARCH64)_/, "", $3); print $3 }' | sort | tr '\n' ' '
}
is_built_with() {
    [ "$(relocations "$1")" = "$2" ] || told "$1 is not what it is meant to be: $(relocations "$1")"
}

# --- references of a module -------------------------------------------------------------------------------------------

@test "lazy references" {
    is_built_with bind_lazy "JUMP_SLOT "
    leads_to_the_shim lazy
}

@test "lazy references of a module opened RTLD_LAZY" {
    leads_to_the_shim lazy:RTLD_LAZY
}

@test "references bound at load time, full RELRO (-z now)" {
    is_built_with bind_now "JUMP_SLOT "
    readelf --dynamic "$FIXTURES/bind_now.so" | grep -q BIND_NOW
    leads_to_the_shim now
}

@test "references without a PLT (-fno-plt), as Rust modules have" {
    is_built_with bind_noplt "GLOB_DAT "
    leads_to_the_shim noplt
}

@test "lazy references without RELRO" {
    leads_to_the_shim norelro
}

@test "references without a PLT and without RELRO" {
    is_built_with bind_noplt_norelro "GLOB_DAT "
    leads_to_the_shim noplt_norelro
}

@test "both kinds of reference in one module" {
    # Newer linkers let both go by one slot.
    case $(relocations bind_both) in
    "GLOB_DAT ") ;;
    *) is_built_with bind_both "GLOB_DAT JUMP_SLOT " ;;
    esac
    leads_to_the_shim both
}

@test "a module with a DT_HASH table only" {
    [ "$(readelf --dynamic "$FIXTURES/bind_sysv.so" | grep -cE '\((GNU_)?HASH\)')" = 1 ]
    leads_to_the_shim sysv
}

@test "a library that the module needs calls the API" {
    [ -z "$(relocations bind_needed)" ]
    leads_to_the_shim needed
}

# --- looked up --------------------------------------------------------------------------------------------------------

@test "ctypes.pythonapi" {
    leads_to_the_shim pythonapi
}

@test "ctypes.PyDLL(None)" {
    leads_to_the_shim PyDLL
}

@test "ctypes.PyDLL of libpython" {
    require "a static interpreter has no libpython" [ "$PY_KIND" = shared ]
    leads_to_the_shim PyDLL-libpython
}

@test "cffi" {
    require "this interpreter has no _cffi_backend" has_cffi
    leads_to_the_shim cffi
}

@test "every function of the API that this version has, and no other, is found as without the shim" {
    local script='
import bind_where
for how in "references", "by_dlsym":
    for name, where in sorted(getattr(bind_where, how)().items()):
        print("%s %s %s" % (how, name, where and ("shim" if "gilshim" in where else "python")))
'
    without "$PYTHON" -S -c "$script"
    is_status 0
    local bare=$output
    works_with "$PYTHON" -S -c "$script"
    [ "${output//shim/python}" = "$bare" ] || told "without the shim: $bare"
    # PyThread_* are the one family whose wrapping may depend on the version.
    has_no_line "references Py[!T]* python"
    has_no_line "references PyThreadState* python"
    has_no_line "by_dlsym Py[!T]* python"
    has_no_line "by_dlsym PyThreadState* python"
}

# --- programs ---------------------------------------------------------------------------------------------------------

@test "a program that embeds the interpreter" {
    require "this static interpreter has no archive to link" [ -e "$FIXTURES/bind_embed" ]
    leads_to_the_shim embed
}

opened_late() {
    require "a static interpreter has no libpython" [ "$PY_KIND" = shared ]
    leads_to_the_shim "late-$1"
}

@test "libpython opened late, RTLD_LOCAL, its functions taken by dlsym" {
    opened_late local-pointers
}

@test "libpython opened late, RTLD_GLOBAL, its functions taken by dlsym" {
    opened_late global-pointers
}

@test "libpython opened late, RTLD_LOCAL, a plug-in that needs it" {
    opened_late local-module
}

@test "libpython opened late, RTLD_GLOBAL, a plug-in that needs it" {
    opened_late global-module
}

@test "libpython opened late, RTLD_DEEPBIND, its functions taken by dlsym" {
    opened_late deep-pointers
}

@test "libpython opened late, RTLD_DEEPBIND, a plug-in that needs it" {
    opened_late deep-module
}

@test "a plug-in that brings its libpython, opened late, RTLD_LOCAL" {
    opened_late local-brings
}

@test "a plug-in that brings its libpython, opened late, RTLD_GLOBAL" {
    opened_late global-brings
}

# Nobody ever asks for a function of the API by its name, and the shim is not in the scope of any reference.
@test "a plug-in that brings its libpython, opened late, RTLD_DEEPBIND" {
    opened_late deep-brings
}

# That thread finds the plug-in while ld.so is still writing to it.
@test "a plug-in that brings its libpython, opened late while another thread looks up a function" {
    require "a static interpreter has no libpython" [ "$PY_KIND" = shared ]
    local scope options
    without "$FIXTURES/../bind_late" "$(libpython)" deep "busy:$FIXTURES/libbind_slow_plugin.so" plain 1
    is_status 0
    for scope in deep local; do
        for options in verbosity=0 check=calls check=locks; do
            SHIM_OPTIONS=$options works_with "$FIXTURES/../bind_late" "$(libpython)" "$scope" "busy:$FIXTURES/libbind_slow_plugin.so" held 20
        done
    done
}

@test "libpython opened late, closed, and opened again" {
    require "a static interpreter has no libpython" [ "$PY_KIND" = shared ]
    local what
    for what in pointers {module,brings}:"$FIXTURES/libbind_plugin.so"; do
        without "$FIXTURES/../bind_late" "$(libpython)" local "$what" plain 3
        is_status 0
        works_with "$FIXTURES/../bind_late" "$(libpython)" local "$what" plain 3
        works_with "$FIXTURES/../bind_late" "$(libpython)" local "$what" held 3
        works_with "$FIXTURES/../bind_late" "$(libpython)" global "$what" held 3
        works_with "$FIXTURES/../bind_late" "$(libpython)" deep "$what" held 3
        SHIM_OPTIONS=check=locks works_with "$FIXTURES/../bind_late" "$(libpython)" local "$what" held 3
        SHIM_OPTIONS=check=locks works_with "$FIXTURES/../bind_late" "$(libpython)" deep "$what" held 3
    done
}

@test "libpython in a namespace of its own (dlmopen): as without the shim" {
    require "a static interpreter has no libpython" [ "$PY_KIND" = shared ]
    without "$FIXTURES/../bind_late" "$(libpython)" namespace pointers plain
    local bare_status=$status bare_output=$output
    with_shim "$FIXTURES/../bind_late" "$(libpython)" namespace pointers plain
    is_status "$bare_status"
    [ "$output" = "$bare_output" ] || told "without the shim: $bare_output"
}

# --- what binding must not break --------------------------------------------------------------------------------------

@test "a module opens a library by its own RUNPATH" {
    local script='import bind_rpath; print(bind_rpath.inner())'
    without "$PYTHON" -S -c "$script"
    is_status 0
    [ "$output" = 42 ]
    works_with "$PYTHON" -S -c "$script"
    [ "$output" = 42 ]
}

@test "pages are protected as without the shim" {
    without "$PYTHON" -S "$scripts/protection.py"
    is_status 0
    local bare=$output
    [[ $bare == *bind_now* ]]
    works_with "$PYTHON" -S "$scripts/protection.py"
    [ "$output" = "$bare" ] || told "without the shim: $bare"
}

@test "with an auditor (LD_AUDIT), on the main thread, threads of Python's and others" {
    local auditor=$FIXTURES/../auditor.so shape
    without env LD_AUDIT="$auditor" "$PYTHON" -S -c 'import bind_now, sys; bind_now.run(sys.argv[1])' plain
    is_status 0
    for shape in plain duplicate held; do
        works_with env LD_AUDIT="$auditor" "$PYTHON" -S -c 'import bind_now, sys; bind_now.run(sys.argv[1])' "$shape"
    done
    for shape in thread-acquire thread-local foreign-duplicate moved; do
        [ "$shape" != moved ] || may_use_anothers_state || continue
        works_with env LD_AUDIT="$auditor" "$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" "$shape" 1
    done
}

# glibc's dlsym(RTLD_NEXT) crashes if it is called by way of the PLT there: the shim must not call it so.
@test "with an auditor that watches calls and returns: programs that are bound lazily, and a libpython opened late" {
    local auditor=$FIXTURES/../auditor_calls.so shape scope
    # glibc 2.41 on AArch64, on a processor with BTI and PAC; elsewhere 3.6 to 3.9, as pyenv builds them
    require "ld.so itself dies of an auditor that watches returns" env LD_AUDIT="$auditor" "$PYTHON" -S -c 'print(1)'
    works_with env LD_AUDIT="$auditor" true
    works_with env LD_AUDIT="$auditor" "$PYTHON" -S "$scripts/run.py" bind_lazy:RTLD_LAZY held
    if [ -e "$FIXTURES/embed" ]; then
        for shape in held moved-both thread-local cached-at-once; do
            [ "$shape" != moved-both ] || may_use_anothers_state || continue
            works_with env LD_AUDIT="$auditor" "$FIXTURES/embed" "$shape"
            has_line "ok $shape"
        done
        # The stack names who called.
        SHIM_OPTIONS=check=calls:history=16 with_shim env LD_AUDIT="$auditor" "$FIXTURES/check-embed" harmless
        has_line '*GIL error: no_gil: *Py_DecRef by *'
        has_line '*#* libgilcheck.so!harmless+0x*'
    fi
    [ "$PY_KIND" = shared ] || return 0
    for scope in local deep; do
        works_with env LD_AUDIT="$auditor" "$FIXTURES/../bind_late" "$(libpython)" "$scope" "module:$FIXTURES/libbind_plugin.so" held
    done
}

@test "another preload that wraps the same API is still called, in front of the shim and behind it" {
    local script='
import ctypes, sys, bind_now
bind_now.run(sys.argv[1])
program = ctypes.CDLL(None)
print("%d %d" % tuple(ctypes.c_int.in_dll(program, "wrapped_" + name).value > 0 for name in ("ensures", "releases")))
'
    local wrapper order scenario
    wrapper=$(cd "$FIXTURES/.." && pwd)/wrapper.so
    limited 60 env LD_PRELOAD="$wrapper" "$PYTHON" -S -c "$script" plain
    is_status 0
    local bare=$output
    [ "$PY_KIND" = static ] || [ "$bare" = "1 1" ]
    for order in "$wrapper:$GILSHIM_LIB" "$GILSHIM_LIB:$wrapper"; do
        for scenario in plain duplicate; do
            limited 60 env LD_PRELOAD="$order" GILSHIM_OPTIONS="${GILSHIM_TEST_SHIM_OFF:+mode=off}" "$PYTHON" -S -c "$script" "$scenario"
            is_status 0
            [ "$output" = "$bare" ] || told "LD_PRELOAD=$order $scenario, without the shim: $bare"
        done
    done
}

@test "what CPython exports is what api.def says, and nothing else of these families is unknown" {
    local file=$PYTHON
    [ -z "$(libpython)" ] || file=$(libpython)
    run "$ROOT/tests/exports" "$PY_VERSION" "$file"
    is_status 0
    is_silent
}
