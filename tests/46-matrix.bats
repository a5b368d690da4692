#!/usr/bin/env bats
# The runner of `make matrix` says in one line what is missing. (A real run takes minutes, and is a CI step of its own.)

load helpers

matrix() { LIMIT=100 without env MATRIX_DIR="$BATS_TEST_TMPDIR/roots" "$@" "$ROOT/tests/matrix/run" --make; }

@test "make matrix: roots that nobody knows are named, and those that there are" {
    LIMIT=20 without env MATRIX=potato "$ROOT/tests/matrix/run" --list
    is_status 2
    has_line "matrix: no root is named potato; there are: *trixie*"
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
