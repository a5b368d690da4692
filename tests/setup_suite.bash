# Run once by bats before everything else. tests/run has built what the tests need; whoever calls bats by hand gets the
# same here. What can't be built fails the suite: nothing is skipped for it.

setup_suite() {
    # Nothing of the caller's environment may change what the tests see.
    unset LD_PRELOAD GILSHIM_OPTIONS PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDEVMODE PYTHONMALLOC
    export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

    local root
    root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
    if [ -z "${GILSHIM_LIB:-}" ]; then
        make -C "$root" all >&2 || return 1
        export GILSHIM_LIB=$root/build/libgilshim.so
    fi
    [ -e "$GILSHIM_LIB" ] || {
        echo "no $GILSHIM_LIB: run make" >&2
        return 1
    }
}
