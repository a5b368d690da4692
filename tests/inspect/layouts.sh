#!/bin/sh
# Prints the lines of shim/cpython/layouts.def for the CPythons whose directories with Python.h are given; without any,
# for those of this machine (tests/interpreters.sh). Each is compiled as it is; up to 3.7 also as a debug build, which means
# Py_TRACE_REFS there; from 3.13 on also without the GIL, release and debug. pyconfig.h is the same but for these macros.
#   CC        the compiler; with a cross compiler for AArch64, RUN="qemu-aarch64" runs what it makes (LDFLAGS=-static)
#   INCLUDES  further -I, for headers that are not where their compiler looks
# To add a version: tests/inspect/layouts.sh INCLUDE >>shim/cpython/layouts.def, for both processors.
set -eu
tree=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# rows INCLUDE [FLAG...]
rows() {
    include=$1
    shift
    # shellcheck disable=SC2086 # lists of words
    ${CC:-gcc} -std=gnu11 -w -iquote "$tree/shim" -I"$include" -I"$include/internal" ${INCLUDES:-} "$@" ${LDFLAGS:-} \
        -o "$out/layouts" "$tree/tests/inspect/layouts.c"
    ${RUN:-} "$out/layouts"
}

if [ $# = 0 ]; then
    # shellcheck disable=SC2046 # no blanks in them
    set -- $(GILSHIM_TEST_PYTHONS='*' "$tree/tests/interpreters.sh" | cut -f 6 | sort -u)
fi
for include in "$@"; do
    # Debug builds with the GIL have the same layout from 3.8 on.
    rows "$include"
    minor=$(sed -n 's/^#define PY_MINOR_VERSION[[:space:]]*//p' "$include/patchlevel.h")
    if [ "$minor" -ge 13 ]; then
        rows "$include" -DPy_GIL_DISABLED=1
        rows "$include" -DPy_GIL_DISABLED=1 -DPy_DEBUG=1
    elif [ "$minor" -le 7 ]; then
        rows "$include" -DPy_TRACE_REFS=1
    fi
done | sort -u -V
