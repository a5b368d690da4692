#!/usr/bin/env bats
# The runner of `make matrix` says in one line what is missing. (A real run takes minutes, and is a CI step of its own.)

load helpers

matrix() { LIMIT=100 without env MATRIX_DIR="$BATS_TEST_TMPDIR/roots" "$@" "$ROOT/tests/matrix/run" --make; }

@test "make matrix: roots that nobody knows are named, and those that there are" {
    LIMIT=20 without env MATRIX=potato "$ROOT/tests/matrix/run" --list
    is_status 2
    has_line "matrix: no root is named potato; there are: *trixie*"
}

@test "make matrix: the roots of the other processor only where they are asked for" {
    LIMIT=20 without env -u MATRIX "$ROOT/tests/matrix/run" --list
    is_status 0
    has_line 'trixie	*python3.13-dev*'
    has_no_line 'arm64*'
    LIMIT=20 without env MATRIX='arm64 arm64trixie' "$ROOT/tests/matrix/run" --list
    is_status 0
    has_line 'arm64	*python3.11-dbg*'
    has_line 'arm64trixie	*python3.13-dbg*'
}

@test "make matrix: a mirror that can't be reached is named" {
    require "needs root and mount namespaces" unshare --mount --pid --fork true
    require "needs debootstrap" command -v debootstrap
    matrix MATRIX=trixie MATRIX_MIRROR=http://127.0.0.1:9/debian
    is_status 2
    has_line "matrix: trixie could not be made from http://127.0.0.1:9/debian *"
}

@test "make matrix: who may not mount is told so" {
    require "needs debootstrap" command -v debootstrap
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/unshare"
    printf '#!/bin/sh\necho 0\n' >"$BATS_TEST_TMPDIR/bin/id"
    chmod +x "$BATS_TEST_TMPDIR/bin/"*
    matrix MATRIX=trixie PATH="$BATS_TEST_TMPDIR/bin:$PATH"
    is_status 2
    has_line "matrix: may not mount in a namespace of its own here*"
}

@test "make matrix-ft: versions that no root can build without the GIL are named, and those that there are" {
    require "needs root and mount namespaces" unshare --mount --pid --fork true
    require "needs debootstrap" command -v debootstrap
    LIMIT=20 without env MATRIX_DIR="$BATS_TEST_TMPDIR/roots" "$ROOT/tests/matrix/run" --free-threaded 3.13 3.12
    is_status 2
    has_line "matrix: no root's python3.12 can be built without the GIL; there are: 3.13 *"
    [ ! -e "$BATS_TEST_TMPDIR/roots" ] || told 'a root was made before'
}

# builds_with WHAT_APT_SAYS: with an apt-get that says so when it is asked for a source.
builds_with() {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    cat >"$BATS_TEST_TMPDIR/bin/apt-get" <<STUB
#!/bin/sh
case "\$*" in *' update '*) exit 0 ;; esac
echo "$1"
exit 100
STUB
    chmod +x "$BATS_TEST_TMPDIR/bin/apt-get"
    LIMIT=20 without env PATH="$BATS_TEST_TMPDIR/bin:$PATH" sh "$ROOT/tests/matrix/free-threaded" "$BATS_TEST_TMPDIR/prefix" 3.14
}

@test "make matrix-ft: a source that the mirror does not have is no failed build, a broken download is one" {
    builds_with 'E: Failed to fetch http://127.0.0.1/python3.14_3.14.10.orig.tar.xz  404  Not Found [IP: 127.0.0.1 80]'
    is_status 3
    has_line 'E: Failed to fetch *'
    builds_with 'E: Unable to find a source package for python3.14'
    is_status 3
    builds_with 'E: Failed to fetch http://127.0.0.1/python3.14_3.14.10.orig.tar.xz  Could not connect to 127.0.0.1:80'
    is_status 1
    has_line 'E: Failed to fetch *'
}

# A Python with a GIL, 3.13 or later, ends with a fatal error if PYTHON_GIL=0. PYTHONHOME ends an older one, too.
@test "make matrix-ft: what judges an interpreter is not told what that one is" {
    local program
    for program in nesting/run exports; do
        head -n 1 "$ROOT/tests/$program" | grep -q python3 || told "tests/$program is no Python program any more"
        LIMIT=20 without env PYTHON_GIL=0 PYTHONHOME=/nowhere "$ROOT/tests/$program" --help
        has_no_line '*Fatal Python error*'
        has_line '*[Uu]sage: *'
    done
    status=0
    output=$(grep -nE '(without|limited [0-9]+) python3( -[^E]| [^-])' "$ROOT"/tests/each-python/*.bats) || status=$?
    [ "$status" -eq 1 ] || told 'these have to be started by python3 -E'
}
