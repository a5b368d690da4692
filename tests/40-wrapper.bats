# run-with-shim.sh as people use it: it finds the library from wherever it is called, hands the program over untouched,
# and says where it can't help.

load helpers

setup() {
    wrapper=$ROOT/run-with-shim.sh
    library=$(readlink -f "$GILSHIM_LIB")
    cd "$BATS_TEST_TMPDIR" || return
}

wrapped() { limited "${LIMIT:-30}" "$wrapper" "$@"; }

# A place like that of an installation: bin/run-with-shim.sh, lib/libgilshim.so.
installed_in() {
    mkdir -p "$1/bin" "$1/lib"
    cp "$ROOT/run-with-shim.sh" "$1/bin/"
    cp "$library" "$1/lib/"
}

is_not_root() { [ "$(id -u)" != 0 ]; }

print_preload='import os; print(os.environ["LD_PRELOAD"])'

# ---- finding the library

@test "finds the library in a checkout, and preloads it" {
    wrapped sh -c 'echo "$LD_PRELOAD"; grep -q libgilshim.so /proc/self/maps && echo mapped; grep -c libgilshim /proc/$$/maps >/dev/null && echo too'
    is_status 0
    [ "${lines[0]}" = "$library" ]
    [ "${lines[1]} ${lines[2]}" = "mapped too" ]
}

@test "finds the library beside itself" {
    mkdir place && cp "$ROOT/run-with-shim.sh" "$library" place/
    limited 30 place/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$PWD/place/libgilshim.so" ]
}

@test "finds the library in ../lib of where it is installed" {
    installed_in place
    limited 30 place/bin/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$PWD/place/lib/libgilshim.so" ]
}

@test "works through a symlink, and a symlink to that" {
    installed_in place
    mkdir -p elsewhere
    ln -s ../place/bin/run-with-shim.sh elsewhere/first
    ln -s elsewhere/first second
    limited 30 ./second printenv LD_PRELOAD
    [ "$output" = "$PWD/place/lib/libgilshim.so" ]
    (cd / && PATH=$BATS_TEST_TMPDIR/elsewhere:$PATH limited 30 first true && is_status 0 && is_silent)
}

@test "works from another directory, by a relative path, and found in PATH" {
    installed_in place
    cd place/lib || return
    limited 30 ../bin/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$BATS_TEST_TMPDIR/place/lib/libgilshim.so" ]
    cd / || return
    PATH=$BATS_TEST_TMPDIR/place/bin:$PATH limited 30 run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$BATS_TEST_TMPDIR/place/lib/libgilshim.so" ]
    CDPATH=/usr:/ limited 30 sh "$BATS_TEST_TMPDIR/place/bin/run-with-shim.sh" pwd
    [ "$output" = / ]
}

@test "says that the library is missing" {
    cp "$ROOT/run-with-shim.sh" .
    limited 30 ./run-with-shim.sh true
    is_status 2
    has_line "run-with-shim.sh: no libgilshim.so beside *"
}

@test "refuses a library whose path ld.so would split" {
    local name
    for name in 'with blank' 'with:colon' "with	tab" 'with$dollar'; do
        installed_in "$name"
        limited 30 "$name/bin/run-with-shim.sh" echo ran
        is_status 2
        has_line "run-with-shim.sh: can't preload '*/$name/lib/libgilshim.so': *"
        has_no_line ran
    done
}

# ---- handing over

@test "arguments arrive as they are" {
    wrapped printf '<%s>\n' 'two words' "quo'te" '*' '' '$HOME' -x -- 'new
line'
    is_status 0
    [ "$output" = "$(printf '<%s>\n' 'two words' "quo'te" '*' '' '$HOME' -x -- 'new
line')" ]
}

@test "a program whose path has blanks" {
    mkdir 'a place'
    printf '#!/bin/sh\necho "$#" "$1"\n' >'a place/my program'
    chmod +x 'a place/my program'
    wrapped 'a place/my program' 'one argument'
    is_status 0
    [ "$output" = "1 one argument" ]
}

@test "standard input, output and error are the program's" {
    limited 30 sh -c 'printf in | "$1" sh -c "cat; echo err >&2" 2>err >out' - "$wrapper"
    is_status 0
    is_silent
    [ "$(cat out)" = in ]
    [ "$(cat err)" = err ]
}

@test "the program keeps the name by which it was called" {
    ln -s "$(command -v bash)" another-name
    PATH=$PWD:$PATH wrapped another-name -c 'echo $0'
    [ "$output" = another-name ]
}

@test "-- ends the options; so does the command" {
    wrapped -- sh -c 'echo "$@"' - -q -x
    is_status 0
    [ "$output" = "-q -x" ]
    printf '#!/bin/sh\necho dashed\n' >./-program
    chmod +x ./-program
    PATH=$PWD:$PATH wrapped -- -program
    is_status 0
    [ "$output" = dashed ]
}

@test "takes no process of its own: the program has the wrapper's pid" {
    limited 30 sh -c '"$1" sh -c "echo \$\$" & echo $!; wait' - "$wrapper"
    is_status 0
    [ "${lines[0]}" = "${lines[1]}" ]
}

# ---- exit statuses

@test "the exit status is the program's" {
    wrapped sh -c 'exit 3'
    is_status 3
    wrapped false
    is_status 1
}

@test "a program that dies by a signal dies by it" {
    limited 30 "$BASH" -c 'trap "" ABRT; "$1" sh -c "kill -USR1 \$\$"; echo "status $?"' - "$wrapper"
    has_line "status 138"
    wrapped sh -c 'kill -SEGV $$'
    is_status 139
}

@test "a program that does not exist: 127" {
    wrapped no-such-program
    is_status 127
    [ "$output" = "run-with-shim.sh: no-such-program: command not found" ]
    wrapped ./no-such-program
    is_status 127
    PATH=/nowhere:$PATH wrapped no-such-program
    is_status 127
}

@test "a program that is not executable, a directory: 126" {
    echo 'echo ran' >program
    wrapped ./program
    is_status 126
    [ "$output" = "run-with-shim.sh: ./program: is not executable" ]
    wrapped "$PWD"
    is_status 126
    has_line "*: is a directory"
}

@test "wrong usage: 2, and says what" {
    wrapped
    is_status 2
    has_line "run-with-shim.sh: no command given*"
    wrapped -x true
    is_status 2
    has_line "run-with-shim.sh: unknown option -x*"
    wrapped --frob true
    is_status 2
    wrapped -o
    is_status 2
    has_line "run-with-shim.sh: -o needs *"
    wrapped -o a:b true
    is_status 2
    has_line "*may not contain a colon*"
    wrapped --
    is_status 2
}

@test "-h and --version" {
    local option
    for option in -h --help; do
        wrapped $option
        is_status 0
        has_line "Usage: run-with-shim.sh *"
        has_line "  --check *"
    done
    wrapped --version
    is_status 0
    [ "$output" = "run-with-shim.sh (gilshim) $(sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h")" ]
}

# ---- LD_PRELOAD and GILSHIM_OPTIONS

preload_with() { LD_PRELOAD=$1 limited 30 sh -c '"$1" printenv LD_PRELOAD 2>/dev/null' - "$wrapper"; }

@test "comes in front of an existing LD_PRELOAD" {
    preload_with /nowhere/other.so
    [ "${lines[-1]}" = "$library:/nowhere/other.so" ]
    preload_with "/nowhere/a.so /nowhere/b.so:/nowhere/c.so"
    [ "${lines[-1]}" = "$library:/nowhere/a.so:/nowhere/b.so:/nowhere/c.so" ]
}

@test "goes behind the sanitizers' runtimes" {
    preload_with "/nowhere/libasan.so.8:/nowhere/other.so"
    [ "${lines[-1]}" = "/nowhere/libasan.so.8:$library:/nowhere/other.so" ]
    preload_with "/nowhere/other.so:/nowhere/libtsan.so.2"
    [ "${lines[-1]}" = "/nowhere/libtsan.so.2:$library:/nowhere/other.so" ]
}

@test "a program built with -fsanitize=address still starts" {
    require "needs gcc with libasan" sh -c 'echo "int main(void) { return 7; }" | gcc -fsanitize=address -x c -o program -'
    wrapped ./program
    is_status 7
    is_silent
}

@test "is not there twice, however it is spelled" {
    ln -s "$library" same.so
    wrapped "$wrapper" "$wrapper" printenv LD_PRELOAD
    [ "$output" = "$library" ]
    LD_PRELOAD=$library:/nowhere/x.so:$PWD/same.so limited 30 sh -c '"$1" printenv LD_PRELOAD 2>/dev/null' - "$wrapper"
    [ "${lines[-1]}" = "$library:/nowhere/x.so" ]
}

@test "-v, -q and -o set options, behind those that are there" {
    GILSHIM_OPTIONS='' wrapped printenv GILSHIM_OPTIONS
    [ "$output" = '' ]
    limited 30 env -u GILSHIM_OPTIONS "$wrapper" sh -c 'echo "${GILSHIM_OPTIONS-unset}"'
    [ "$output" = unset ]
    wrapped -v printenv GILSHIM_OPTIONS
    [ "$output" = verbosity=1 ]
    wrapped -v -v printenv GILSHIM_OPTIONS
    [ "$output" = verbosity=2 ]
    wrapped -v -q printenv GILSHIM_OPTIONS
    [ "$output" = verbosity=0 ]
    GILSHIM_OPTIONS=mode=off:verbosity=2 wrapped -q printenv GILSHIM_OPTIONS
    [ "$output" = mode=off:verbosity=2:verbosity=0 ]
    wrapped -o log -v printenv GILSHIM_OPTIONS
    [ "$output" = "verbosity=1:log_path=$PWD/log" ]
    wrapped -olog.%p.%e printenv GILSHIM_OPTIONS
    [ "$output" = "log_path=$PWD/log.%p.%e" ]
    wrapped -o /nowhere/log printenv GILSHIM_OPTIONS
    [ "$output" = "log_path=/nowhere/log" ]
    wrapped -o stdout printenv GILSHIM_OPTIONS
    [ "$output" = "log_path=stdout" ]
}

# ---- programs of every kind

@test "a program that is not Python, and a pipeline of children: silent and unharmed" {
    wrapped /bin/true
    is_status 0
    is_silent
    wrapped sh -c 'printf "b\na\n" | sort | tr a-z A-Z; echo ${LD_PRELOAD##*/}'
    is_status 0
    [ "$output" = "A
B
libgilshim.so" ]
}

@test "an interpreter, static and shared, a script by its #! line, a child of a shell" {
    local kind
    for kind in static shared; do
        require "needs a $kind interpreter" use_python $kind
        wrapped "$PYTHON" -S -c "$print_preload"
        is_status 0
        [ "$output" = "$library" ]
        printf '#!%s -S\n%s\n' "$PYTHON" "$print_preload" >script
        chmod +x script
        wrapped ./script
        [ "$output" = "$library" ]
        wrapped sh -c 'true | "$@" | cat' - "$PYTHON" -S -c "$print_preload"
        [ "$output" = "$library" ]
    done
}

# A copy of $1 that runs with another user's rights; as root it is another user's than root's.
set_uid_copy() {
    cp "$(type -P "$1")" "$2"
    if is_not_root; then
        return 1
    fi
    chmod 755 "$BATS_TEST_TMPDIR"
    chown nobody "$2"
    chmod 4755 "$2"
}

@test "a set-uid program: says that it can't help, and runs it" {
    require "needs root to make a set-uid program" set_uid_copy printenv theirs
    wrapped ./theirs HOME
    is_status 0
    has_line "run-with-shim.sh: the shim can't help ./theirs: it is set-uid,*"
    has_line "$HOME"
    # Whose rights are the caller's already: LD_PRELOAD is not ignored.
    chown root theirs
    chmod 4755 theirs
    wrapped ./theirs LD_PRELOAD
    [ "$output" = "$library" ]
}

@test "a script whose interpreter is set-uid" {
    require "needs root to make a set-uid program" set_uid_copy bash theirs
    printf '#!%s\necho ran\n' "$PWD/theirs" >script
    chmod +x script
    wrapped ./script
    is_status 0
    has_line "run-with-shim.sh: the shim can't help $PWD/theirs: it is set-uid,*"
    has_line ran
}

@test "a set-gid program" {
    require "needs root to make a set-uid program" set_uid_copy printenv theirs
    chown root:nogroup theirs
    chmod 2755 theirs
    wrapped ./theirs HOME
    is_status 0
    has_line "run-with-shim.sh: the shim can't help ./theirs: it is set-gid,*"
}

@test "a statically linked program: says that it can't help, and runs it" {
    require "needs gcc and a static libc" sh -c 'echo "int main(void) { return 5; }" | gcc -static -x c -o program -'
    wrapped ./program
    is_status 5
    [ "$output" = "run-with-shim.sh: the shim can't help ./program: it is statically linked: no loader runs that could preload anything; running it all the same" ]
    wrapped --check ./program
    is_status 1
    has_line "gilshim: can't be served: it is statically linked*"
}

# $1: a folder that everybody can enter, with a program that has a capability in it.
with_capability() {
    [ "$(id -u)" = 0 ] && chmod 755 "$1" && cp "$(type -P printenv)" "$1/able" && setcap cap_net_raw+ep "$1/able" &&
        setpriv --reuid=nobody --clear-groups "$1/able" HOME
}

@test "a program with file capabilities, run by an ordinary user" {
    local folder
    folder=$(mktemp -d)
    if ! with_capability "$folder" >/dev/null 2>&1; then
        rm -r "$folder"
        require "needs root, setcap and a file system with capabilities" false
    fi
    installed_in "$folder"
    limited 30 setpriv --reuid=nobody --clear-groups "$folder/bin/run-with-shim.sh" "$folder/able" HOME
    rm -r "$folder"
    is_status 0
    has_line "run-with-shim.sh: the shim can't help $folder/able: it has file capabilities,*"
    has_line "$HOME"
}

# Changes the bytes of file $1 at $2 to those that %b makes of $3.
patch_bytes() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

@test "programs of another architecture, and of musl" {
    cp /bin/true foreign
    patch_bytes foreign 18 '\0363\0000'
    wrapped ./foreign
    [ "$status" -ne 0 ]
    has_line "run-with-shim.sh: the shim can't help ./foreign: it is a program for 64-bit RISC-V, the shim is for *"
    cp /bin/true small
    patch_bytes small 4 '\0001'
    wrapped ./small
    has_line "run-with-shim.sh: the shim can't help ./small: it is a program for *"
    # Its loader's name is replaced by one of the same length, or shorter.
    LC_ALL=C sed 's|/lib64/ld-linux-x86-64.so.2|/lib/ld-musl-x86_64.so.1\x00\x00\x00|; s|/lib/ld-linux-aarch64.so.1|/lib/ld-musl-aarch64.so.1\x00|' /bin/true >musl
    chmod +x musl
    wrapped ./musl
    has_line "run-with-shim.sh: the shim can't help ./musl: it is linked to musl*"
}

@test "PyPy: says that it can't help, and runs it" {
    cp /bin/true pypy3.10
    wrapped ./pypy3.10
    is_status 0
    has_line "run-with-shim.sh: the shim can't help ./pypy3.10: it is PyPy*"
    wrapped --check ./pypy3.10
    is_status 1
}

@test "works where only the shell's own commands and coreutils are found" {
    mkdir bin
    local tool
    for tool in sh sed readlink dirname id ls cat printenv; do ln -s "$(command -v $tool)" bin/; done
    limited 30 env PATH="$PWD/bin" "$wrapper" printenv LD_PRELOAD
    is_status 0
    [ "$output" = "$library" ]
}

@test "works under dash, bash and busybox" {
    local shell
    for shell in dash 'bash --posix' bash 'busybox sh'; do
        command -v "${shell%% *}" >/dev/null || continue
        # shellcheck disable=SC2086
        limited 30 $shell "$wrapper" -v -o log printenv LD_PRELOAD GILSHIM_OPTIONS
        is_status 0
        [ "$output" = "$library
verbosity=1:log_path=$PWD/log" ]
    done
}

# ---- --check

# What it tells of every interpreter that it can serve.
check_is_complete() {
    is_status 0
    has_line "gilshim: program: *"
    has_line "gilshim: version $(sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h")"
    has_line "gilshim: functions: *"
    local repair
    for repair in duplicate held subinterp moved cached finalize share; do
        has_line "gilshim: repair $repair: *"
    done
}

@test "--check of a static and a shared interpreter" {
    local kind
    for kind in static shared; do
        require "needs a $kind interpreter" use_python $kind
        wrapped --check "$PYTHON"
        check_is_complete
        has_line "gilshim: interpreter: CPython $PY_VERSION* $PY_BUILD ($kind*"
        has_line "gilshim: repair held: available"
    done
}

@test "--check of a debug build" {
    require "needs a debug interpreter" test -x /usr/bin/python3.11-dbg
    wrapped --check /usr/bin/python3.11-dbg
    check_is_complete
    has_line "gilshim: interpreter: CPython 3.11* debug (static*"
}

@test "--check does not run the program" {
    require "needs a shared interpreter" use_python shared
    wrapped --check "$PYTHON" -c 'open("ran", "w")'
    is_status 0
    printf '#!%s\nopen("ran", "w")\n' "$PYTHON" >script
    printf '#!/bin/sh\ntouch ran\n' >shell-script
    printf 'touch ran\n' >no-shebang
    chmod +x script shell-script no-shebang
    wrapped --check ./script
    is_status 0
    wrapped --check ./shell-script
    wrapped --check ./no-shebang
    wrapped --check touch ran
    [ ! -e ran ]
}

@test "--check of a script follows its #! line, and env" {
    require "needs a shared interpreter" use_python shared
    printf '#!%s -S\n' "$PYTHON" >script
    printf '#!/usr/bin/env %s\n' "${PYTHON##*/}" >by-env
    printf '#!/usr/bin/env -S A=b %s -S\n' "${PYTHON##*/}" >by-env-s
    chmod +x script by-env by-env-s
    local script
    for script in script by-env by-env-s; do
        PATH=${PYTHON%/*}:$PATH wrapped --check ./$script
        is_status 0
        has_line "gilshim: program: ./$script (a script, run by *python*)"
        has_line "gilshim: interpreter: CPython $PY_VERSION*"
    done
}

@test "--check of a program that embeds a shared libpython" {
    require "needs a shared interpreter" use_python shared
    cat >embedder.c <<'C'
#include <Python.h>
int main(void) {
    Py_Initialize();
    return 1;
}
C
    local libdir ldlib
    IFS=$'\t' read -r _ _ _ _ _ _ libdir ldlib < <(grep "^$PY_TAG	" <<<"$GILSHIM_INTERPRETERS")
    gcc -isystem "$PY_INCLUDE" -o embedder embedder.c -L"$libdir" -Wl,-rpath,"$libdir" -l"$ldlib"
    wrapped --check ./embedder
    check_is_complete
    has_line "gilshim: interpreter: CPython $PY_VERSION* $PY_BUILD (shared*"
}

@test "--check of what is not Python, and of a shell script" {
    wrapped --check /bin/true
    is_status 1
    has_line "gilshim: nothing to serve: *"
    printf '#!/bin/sh\nexec python3 "$@"\n' >wrapped-python
    chmod +x wrapped-python
    wrapped --check ./wrapped-python
    is_status 1
    has_line "gilshim: program: ./wrapped-python (a script, run by /bin/sh)"
    has_line "gilshim: nothing to serve: *"
}

@test "--check of a program that names libpython, which it may open later" {
    printf 'int main(int argc, char **argv) { (void)argv; return argc ? 0 : *"libpython3.11.so.1.0"; }\nconst char *name = "libpython3.11.so.1.0";\n' >late.c
    gcc -o late late.c
    wrapped --check ./late
    is_status 0
    has_line "gilshim: it names libpython: *"
}

@test "--check of a set-uid program, of nothing, of what is not executable" {
    wrapped --check no-such-program
    is_status 127
    echo >file
    wrapped --check ./file
    is_status 126
    require "needs root to make a set-uid program" set_uid_copy true theirs
    wrapped --check ./theirs
    is_status 1
    has_line "gilshim: can't be served: it is set-uid, and the loader ignores LD_PRELOAD there"
}
