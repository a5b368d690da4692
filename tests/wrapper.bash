# Loaded by the tests of run-with-shim.sh, behind helpers: `load wrapper`. Their setup() sets $wrapper and $library.
# shellcheck disable=SC2034,SC2154 # what the tests use; helpers' names

wrapped() { limited "${LIMIT:-30}" "$wrapper" "$@"; }

# A place like that of an installation: bin/run-with-shim.sh, lib/libgilshim.so.
installed_in() {
    mkdir -p "$1/bin" "$1/lib"
    cp "$ROOT/run-with-shim.sh" "$1/bin/"
    cp "$library" "$1/lib/"
}

is_not_root() { [ "$(id -u)" != 0 ]; }

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
