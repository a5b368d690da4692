# Programs of every kind under run-with-shim.sh: it serves those that it can, names those that it can't, and --check says which.

# shellcheck disable=SC2030,SC2031 # each test has its own
load helpers
load wrapper

setup() {
    wrapper=$ROOT/run-with-shim.sh
    library=$(readlink -f "$GILSHIM_LIB")
    cd "$BATS_TEST_TMPDIR" || return
}

print_preload='import os; print(os.environ["LD_PRELOAD"])'

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
        wrapped -q "$PYTHON" -S -c "$print_preload"
        is_status 0
        [ "$output" = "$library" ]
        printf '#!%s -S\n%s\n' "$PYTHON" "$print_preload" >script
        chmod +x script
        wrapped -q ./script
        [ "$output" = "$library" ]
        wrapped -q sh -c 'true | "$@" | cat' - "$PYTHON" -S -c "$print_preload"
        [ "$output" = "$library" ]
    done
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

@test "works under dash, bash, busybox, yash, posh, mksh and ksh" {
    local shell
    for shell in dash 'bash --posix' bash 'busybox sh' yash posh mksh ksh; do
        command -v "${shell%% *}" >/dev/null || continue
        # shellcheck disable=SC2086
        limited 30 $shell "$wrapper" -v -o log printenv LD_PRELOAD GILSHIM_OPTIONS
        is_status 0
        has_line "$library"
        has_line "history=64:crash=1:summary=@[1-9]*:log_path=$PWD/log:verbosity=1"
        # shellcheck disable=SC2086 # no argument
        limited 30 $shell "$wrapper" true
        is_status 0
        is_silent
        # shellcheck disable=SC2086
        limited 30 $shell "$wrapper" --check env -u A printenv
        is_status 1
        has_line "gilshim: program: *env, which starts *printenv"
    done
}

# ---- the summary

@test "a summary comes at the end of each process that has the wrapper's stderr, and in no output that a program reads" {
    require "needs an interpreter" use_python static
    local program='import subprocess, sys
child = [sys.executable, "-S", "-c", "pass"]
subprocess.check_call(child)
sys.stdout.write("read: %r\n" % subprocess.Popen(child, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).communicate()[0])'
    wrapped "$PYTHON" -S -c "$program"
    is_status 0
    [ "$(count_lines '==*== gilshim: summary')" -eq 2 ]
    has_line "read: *''"
    wrapped -q "$PYTHON" -S -c "$program"
    [ "${#lines[@]}" -eq 1 ]
    has_line "read: *''"
    # A log is each process's own.
    wrapped -o log "$PYTHON" -S -c "$program"
    [ "${#lines[@]}" -eq 1 ]
    [ "$(grep -l 'gilshim: summary' log.* | wc -l)" -eq 3 ]
    # A program that turns its stderr elsewhere has been started with ours.
    wrapped "$PYTHON" -S -c 'import os; os.dup2(os.open("elsewhere", os.O_CREAT | os.O_WRONLY), 2)'
    is_silent
    grep -q 'gilshim: summary' elsewhere
}

# ---- --check

# What it tells of every interpreter that it can serve.
check_is_complete() {
    is_status 0
    has_line "gilshim: program: *"
    has_line "gilshim: version $(sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h") (*)"
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

# Sets $libdir to the folder of the interpreter's libpython and $ldlib to its name.
find_libpython() {
    IFS=$'\t' read -r _ _ _ _ _ _ libdir ldlib < <(grep "^$PY_TAG	" <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}")
    ldlib=$(basename "$(readlink -f "$libdir/lib$ldlib.so")")
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
    find_libpython
    gcc -isystem "$PY_INCLUDE" -o embedder embedder.c -L"$libdir" -Wl,-rpath,"$libdir" -l:"$ldlib"
    wrapped --check ./embedder
    check_is_complete
    has_line "gilshim: interpreter: CPython $PY_VERSION* $PY_BUILD (shared*"
}

@test "--check of what is not Python, and of a shell script" {
    wrapped --check /bin/true
    is_status 1
    has_line "gilshim: nothing to serve: *"
    printf '#!/bin/sh\nexec "$@"\n' >any
    chmod +x any
    wrapped --check ./any
    is_status 3
    has_line "gilshim: program: ./any (a script, run by /bin/sh)"
    has_line "gilshim: can't be known before it runs: *"
}

@test "--check of what starts other programs, or opens libraries: can't be known before it runs" {
    local program
    for program in timeout nice sh nohup xargs; do
        wrapped --check $program python3
        is_status 3
        has_line "gilshim: can't be known before it runs: *"
        has_line "gilshim: check the program that it starts: *"
    done
    # By itself, and by a library of its own.
    printf '#include <dlfcn.h>\nvoid *engine(const char *name) { return dlopen(name, 2); }\n' >engine.c
    printf 'void *engine(const char *name);\nint main(int argc, char **argv) { return argc > 1 && !engine(argv[1]); }\n' >host.c
    gcc -o alone host.c engine.c
    gcc -shared -fPIC -o libengine.so engine.c
    gcc -o host host.c -L. -lengine -Wl,-rpath,"$PWD"
    for program in ./alone ./host; do
        wrapped --check $program
        is_status 3
    done
    wrapped --check env
    is_status 1
    has_line "gilshim: nothing to serve: *"
}

@test "--check of a script that activates a virtualenv" {
    require "needs an interpreter" use_python static
    mkdir -p venv/bin
    ln -s "$PYTHON" venv/bin/python
    : >venv/bin/activate
    printf '#!/bin/sh\n. %s/venv/bin/activate\nexec my-application\n' "$PWD" >known
    printf '#!/bin/sh\n. "$HOME/venv/bin/activate"\nexec python3 app.py\n' >unknown
    chmod +x known unknown
    wrapped --check ./known
    check_is_complete
    has_line "gilshim: the script activates the virtualenv of $PWD/venv/bin/python: *"
    wrapped --check ./unknown
    is_status 3
}

@test "what takes the shim out of the environment of what it starts" {
    wrapped env -i "$(type -P printenv)"
    has_line "run-with-shim.sh: the shim can't help *printenv: env -i takes the shim out of the environment; put run-with-shim.sh behind it*"
    local words
    for words in 'env -' 'env -u LD_PRELOAD' 'env -uLD_PRELOAD' 'env --unset=LD_PRELOAD' 'env --ignore-environment'; do
        # shellcheck disable=SC2086
        wrapped $words "$(type -P true)"
        is_status 0
        has_line "run-with-shim.sh: the shim can't help *: env *takes the shim out of the environment; *"
        # shellcheck disable=SC2086
        wrapped --check $words "$(type -P true)"
        is_status 1
        has_line "gilshim: can't be served: env *takes the shim out of the environment; *"
    done
    mkdir bin
    for words in sudo doas su ssh; do
        printf '#!/bin/sh\necho ran\n' >bin/$words
        chmod +x bin/$words
    done
    cp "$(type -P true)" bin/sudo
    for words in sudo 'su -' 'ssh there'; do
        # shellcheck disable=SC2086
        PATH=$PWD/bin:$PATH wrapped $words python3
        is_status 0
    done
    PATH=$PWD/bin:$PATH wrapped sudo python3
    has_line "run-with-shim.sh: the shim can't help *sudo: sudo starts its command without LD_PRELOAD; use sudo run-with-shim.sh COMMAND;*"
}

@test "--check of a shell script that names a Python goes on with that Python" {
    require "needs a shared interpreter" use_python shared
    printf '#!/bin/sh\n# not /nowhere/python3, nor %s/other/python\nA=/nowhere/python3\nexec "%s" "$@"\n' "$PWD" "$PYTHON" >by-path
    printf '#!/bin/sh\n%s -V\n' "${PYTHON##*/}" >by-name
    mkdir bin
    ln -s "$PYTHON" "bin/${PYTHON##*/}"
    chmod +x by-path by-name
    wrapped --check ./by-path
    check_is_complete
    has_line "gilshim: the script names $PYTHON: if it starts that, *"
    has_line "gilshim: interpreter: CPython $PY_VERSION*"
    PATH=$PWD/bin:$PATH wrapped --check ./by-name
    check_is_complete
    has_line "gilshim: the script names $PWD/bin/${PYTHON##*/}: *"
    # One that names itself does not go round in circles, and one of pyenv's says how to find what it starts.
    printf '#!/bin/sh\nexec "$PWD/python3.99" "$PWD/python"\n' >python3.99
    printf '#!/bin/sh\nexec "/opt/pyenv/libexec/pyenv" exec "$program" "$@"\n' >python
    chmod +x python3.99 python
    PATH=$PWD:$PATH wrapped --check ./python3.99
    is_status 3
    PATH=$PWD:$PATH wrapped --check python
    is_status 3
    has_line "*shim of pyenv's*\`pyenv which python\`*"
}

@test "--check of a program that names libpython, which it may open later" {
    printf 'int main(int argc, char **argv) { (void)argv; return argc ? 0 : *"libpython3.11.so.1.0"; }\nconst char *name = "libpython3.11.so.1.0";\n' >late.c
    gcc -o late late.c
    wrapped --check ./late
    is_status 0
    has_line "gilshim: it names libpython*: if it opens that later, it is served from then on*"
}

@test "--check of such a program tells of that libpython, if the loader finds it" {
    require "needs a shared interpreter" use_python shared
    local libdir ldlib
    find_libpython
    printf 'const char *name = "%s";\nint main(void) { return !*name; }\n' "$ldlib" >late.c
    gcc -o late late.c
    LD_LIBRARY_PATH=$libdir wrapped --check ./late
    check_is_complete
    has_line "gilshim: it names $ldlib: if it opens that later, it is served from then on, as follows"
    has_line "gilshim: interpreter: CPython $PY_VERSION* $PY_BUILD (shared*"
    sed 's/libpython[^"]*/libpython9.9.so.1.0/' late.c >never.c
    gcc -o never never.c
    wrapped --check ./never
    is_status 0
    has_line "gilshim: interpreter: none at start"
    has_line "gilshim: it names libpython: *"
}

@test "--check follows links, and env(1) as a command" {
    require "needs an interpreter" use_python static
    ln -s "$PYTHON" first
    ln -s first second
    printf '#! %s/second -S\n' "$PWD" >script
    chmod +x script
    local command
    for command in ./second ./script "env ./second" "env -u A B=c $PYTHON -S" "env second" "env D=e env ./script"; do
        # shellcheck disable=SC2086
        PATH=$PWD:$PATH wrapped --check $command
        is_status 0
        has_line "gilshim: program: *"
        has_line "gilshim: interpreter: CPython $PY_VERSION*"
    done
    wrapped --check env -u A B=c ./script x
    has_line "gilshim: program: */env, which starts ./script (a script, run by $PWD/second)"
    wrapped --check env
    is_status 1
    has_line "gilshim: nothing to serve: *"
}

@test "--check of a script without its interpreter" {
    printf '#!/nowhere/python\n' >script
    chmod +x script
    wrapped --check ./script
    is_status 1
    has_line "gilshim: can't be served: its interpreter /nowhere/python does not exist"
    wrapped ./script
    is_status 127
    [ "$output" = "run-with-shim.sh: ./script: its interpreter /nowhere/python does not exist" ]
}

# member NAME: that member of the object, which must be all that was printed. As Python writes it; a missing one is MISSING.
member() {
    [ "${#lines[@]}" -eq 1 ] || told "not one line"
    printf '%s' "$output" | env -u LD_PRELOAD "$PYTHON" -c 'import json, sys; print(repr(json.load(sys.stdin).get(sys.argv[1], "MISSING")).lstrip("u"))' "$1"
}
# checked_as_json STATUS SERVED WORDS...: --check -j of it, in one line that Python's json reads.
checked_as_json() {
    local expected=$1 served=$2
    shift 2
    wrapped --check -j "$@"
    is_status "$expected"
    [ "$(member type)" = "'check'" ]
    [ "$(member served)" = "'$served'" ] || told "not $served"
}

@test "--check -j: one JSON object, of what is served, of what is not, and of what can't be known" {
    require "needs an interpreter" use_python static
    checked_as_json 0 yes "$PYTHON"
    [ "$(member program)" = "'$PYTHON'" ]
    [ "$(member starts)" = None ]
    [ "$(member executable)" = "'$PYTHON'" ]
    [ "$(member reason)" = None ]
    [ "$(member version)" = "'$(sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h")'" ]
    [[ $(member build) = *' ('*'glibc '*')'"'" ]]
    [ "$(member python)" = "'$("$PYTHON" -c 'import platform; print(platform.python_version())')'" ]
    [ "$(member path)" = "'$(readlink -f "$PYTHON")'" ]
    [ "$(member binding)" = "'static'" ]
    [[ $(member debug) = @(True|False) && $(member free_threaded) = @(True|False) ]]
    # Its members are those that shim/doc/options.md explains, in that order.
    sed -n '/^## --check for machines/,/^## GILSHIM_OPTIONS/p' "$ROOT/shim/doc/options.md" | sed -n 's/^| \(`[^|]*\) |.*/\1/p' |
        grep -o '[a-z_]*' >page
    printf '%s' "$output" | "$PYTHON" -c '
import collections, json, sys
print("\n".join(json.load(sys.stdin, object_pairs_hook=collections.OrderedDict)))' >members
    diff page members
    # The same repairs as in the text, in the same order, with what is said of each.
    printf '%s' "$output" | "$PYTHON" -c '
import json, sys
found = json.load(sys.stdin)
print("functions: %(intercepted)d intercepted by export redirection, %(missing)d not in this version" % found["functions"])
for one in found["repairs"]:
    assert sorted(one) == ["available", "name", "needed", "note"] and one["available"] in (True, False) and one["needed"] in (True, False)
    note = one["note"] and (" (%s)" if one["available"] else ": %s") % one["note"] or ""
    print("repair %s: %s%s" % (one["name"], "available" if one["available"] else "not available", note))' >json
    wrapped --check "$PYTHON"
    printf '%s\n' "${lines[@]}" | sed -n 's/^gilshim: \(repair .*\|functions: .*version\).*/\1/p' >text
    [ "$(wc -l <text)" -eq $((1 + $(grep -c '^REPAIR(' "$ROOT/shim/repairs.def"))) ]
    diff text json

    # What a script names, and a name with bytes that JSON writes in another way.
    local name
    name=$(printf 'a "b" \\ \303\274 \tz')
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$PYTHON" >"$name"
    printf '#!/bin/sh\nexec ./missing.py\n' >unknown
    cp "$name" "$(printf 'bad \377\300\200')"
    chmod +x ./*
    checked_as_json 0 yes "./$name"
    [ "$(printf '%s' "$output" | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["program"] == sys.argv[1])' "./$name")" = True ]
    [ "$(member starts)" = "'$PYTHON'" ]
    [ "$(member executable)" = "'$PYTHON'" ]
    [ "$(printf '%s' "$output" | "$PYTHON" -c 'import json, sys; print(len(json.load(sys.stdin)["repairs"]) > 9)')" = True ]
    checked_as_json 0 yes ./bad*
    checked_as_json 3 unknown ./unknown
    [[ $(member reason) = *"it can start programs"* ]]
    [ "$(member python)" = None ]
    checked_as_json 3 unknown timeout 5 "$PYTHON"
    checked_as_json 1 nothing /bin/true
    [[ $(member reason) = *"there is no CPython in it"* ]]
    [ "$(member repairs)" = "'MISSING'" ]
    checked_as_json 1 no env -i "$PYTHON"
    [[ $(member reason) = *"env -i takes the shim out"* ]]
    [ "$(member version)" = "'MISSING'" ]
    # What is not found is no answer: nothing on standard output.
    limited 30 sh -c '"$1" --check --json no-such-program 2>/dev/null' - "$wrapper"
    is_status 127
    is_silent
}

@test "--check -j: libpython is opened later; something else is printed; no interpreter can be started" {
    require "needs a shared interpreter" use_python shared
    printf 'const char *name = "libpython3.11.so.1.0";\nint main(void) { return !*name; }\n' >late.c
    gcc -o late late.c
    checked_as_json 0 yes ./late
    [[ $(member reason) = *"it names libpython"*"from then on"* ]]
    # Another preload talks, on both streams and without a newline, where the library is asked.
    cat >noise.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void talk(void) {
    if (getenv("GILSHIM_OPTIONS") && write(1, "{\"noise\": ", 10) + write(2, "\nnoise", 6) != 16) { abort(); }
}
C
    gcc -shared -fPIC -o noise.so noise.c
    LD_PRELOAD=$PWD/noise.so checked_as_json 0 yes "$PYTHON"
    [[ $(member python) = "'$PY_VERSION"* ]]
    [ "$(member repairs)" != "'MISSING'" ]
    printf '#include <unistd.h>\npid_t fork(void) { return -1; }\n' >nofork.c
    gcc -shared -fPIC -o nofork.so nofork.c
    # Only the program gets it: the wrapper's shell could not start a thing.
    printf 'int main(void) { return 0; }\n' >embedder.c
    local libdir ldlib
    find_libpython
    gcc -o embedder embedder.c -Wl,--no-as-needed ./nofork.so -L"$libdir" -Wl,-rpath,"$libdir" -l:"$ldlib"
    checked_as_json 0 yes ./embedder
    [[ $(member python) = "'$PY_VERSION"* ]]
    [ "$(member repairs)" = "'MISSING'" ]
}

@test "--options prints the library's list on stdout, runs nothing, and needs no command" {
    GILSHIM_OPTIONS=log_path=$PWD/log:frob=1 wrapped --options
    is_status 0
    has_line "gilshim: *GILSHIM_OPTIONS*"
    has_line "gilshim:   mode=*(default repair)*"
    local all=$output
    wrapped --options touch ran
    [ "$output" = "$all" ]
    limited 30 sh -c '"$1" --options 2>&1 >/dev/null' - "$wrapper"
    is_silent
    [ -z "$(ls)" ]
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
