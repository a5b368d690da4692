#!/usr/bin/env bats
# Systems on which gilshim can't be built, and programs that it can't serve: each is refused with the reason.

load helpers
load wrapper

setup() {
    wrapper=$ROOT/run-with-shim.sh
    cd "$BATS_TEST_TMPDIR" || return
    printf '%s\n' '#include <stdio.h>' 'int main(void) { puts("ran"); return 5; }' >program.c
}

# refuses_to_build WORDS MAKE_ARGUMENTS...
refuses_to_build() {
    local words=$1
    shift
    limited 60 env -u MAKEFLAGS -u MAKELEVEL make -C "$ROOT" BUILD="$PWD/build" "$@" all
    [ "$status" -ne 0 ] || told "it was built"
    has_line "*gilshim *$words*"
}

# cannot_serve WORDS PROGRAM...: what --check says.
cannot_serve() {
    local words=$1
    shift
    wrapped --check "$@"
    is_status 1
    has_line "gilshim: can't be served: *$words*"
    # The same as JSON.
    wrapped --check --json "$@"
    is_status 1
    [[ $output = '{"type": "check", '*'"served": "no", "reason": "'*"$words"* && ${#lines[@]} -eq 1 ]] || told "no JSON of it"
}

has() { command -v "$1"; }

# --- building ---------------------------------------------------------------------------------------------------------

@test "is not built on macOS" {
    mkdir bin
    printf '#!/bin/sh\necho Darwin\n' >bin/uname
    chmod +x bin/uname
    PATH=$PWD/bin:$PATH refuses_to_build "is for Linux with glibc: *. This is Darwin*"
}

@test "is not built for 32-bit programs, nor x32" {
    require "needs gcc for x86-64" sh -c 'gcc -dumpmachine | grep -q x86_64'
    refuses_to_build "is for 64-bit programs" CC='gcc -m32'
    refuses_to_build "is for 64-bit programs" CC='gcc -mx32'
}

@test "is not built for another processor" {
    refuses_to_build "runs on x86-64 and AArch64 only" CPPFLAGS='-U__x86_64__ -U__aarch64__'
}

@test "is not built with musl" {
    require "needs musl-tools" has musl-gcc
    refuses_to_build "needs glibc" CC=musl-gcc
}

# --- programs ---------------------------------------------------------------------------------------------------------

@test "a musl program runs, without the shim: its loader would end it" {
    require "needs musl-tools" has musl-gcc
    musl-gcc -o program program.c
    wrapped ./program
    is_status 5
    has_line ran
    has_line "run-with-shim.sh: the shim can't help ./program: it is linked to musl, *; running it without"
    # A script of such an interpreter.
    printf '#!%s\n' "$PWD/program" >script
    chmod +x script
    wrapped ./script
    is_status 5
    has_line ran
    cannot_serve "linked to musl" ./program
}

@test "PyPy runs, and is told of" {
    require "needs pypy3" has pypy3
    wrapped pypy3 -c 'import threading; t = threading.Thread(target=print, args=("ran",)); t.start(); t.join()'
    is_status 0
    has_line ran
    has_line "run-with-shim.sh: the shim can't help *pypy3*: it is PyPy*"
    cannot_serve PyPy pypy3
    # By a name that does not tell.
    ln -s "$(readlink -f "$(command -v pypy3)")" interpreter
    cannot_serve PyPy ./interpreter
    # Preloaded without the wrapper, it does nothing and says nothing.
    works_with pypy3 -c 'import threading; print("ran")'
    [ "$output" = ran ]
}

@test "static programs, PIE and not" {
    local kind
    for kind in -static -static-pie; do
        require "no static libc" cc $kind -o program program.c
        wrapped ./program
        is_status 5
        has_line ran
        cannot_serve "statically linked" ./program
    done
}

@test "a program for 32 bits, and one for another processor" {
    require "no 64-bit little-endian ELF" sh -c '[ "$(od -An -tu1 -j4 -N2 /bin/true | tr -d " ")" = 21 ]'
    # Hand-made: the class, and the machine (386; s390), of the header.
    cp /bin/true small
    printf '\001' | dd of=small bs=1 seek=4 conv=notrunc status=none
    printf '\003\000' | dd of=small bs=1 seek=18 conv=notrunc status=none
    cannot_serve "for 32-bit x86, the shim is for " ./small
    cp /bin/true foreign
    printf '\026\000' | dd of=foreign bs=1 seek=18 conv=notrunc status=none
    cannot_serve "for class 2, machine 22, the shim is for " ./foreign
}

@test "a set-uid program" {
    require "needs root to make a set-uid program" set_uid_copy printenv theirs
    cannot_serve set-uid ./theirs
}

@test "a libpython without the API, linked" {
    cannot_serve "does not export CPython's GIL API: libpython3.99.so.1.0 => /" "$ROOT/build/fixtures/bind_part"
}

@test "a program that contains CPython and does not export it" {
    local program found=0
    for program in "$ROOT"/build/fixtures/*/bind_hidden; do
        [ -e "$program" ] || continue
        found=1
        cannot_serve "CPython seems to be linked into it, but it does not export" "$program"
    done
    require "no static interpreter with an archive" [ "$found" = 1 ]
}
