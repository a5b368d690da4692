#!/bin/sh
# Starts run-with-shim.sh of the Python package gilshim, which pip has installed beside this folder.
here=$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s\n' "$0")")
# The folders of a virtualenv and of --user; of Debian; of --target.
for wrapper in "$here"/../lib*/python3*/site-packages/gilshim/run-with-shim.sh \
    "$here"/../lib/python3*/dist-packages/gilshim/run-with-shim.sh "$here"/../gilshim/run-with-shim.sh; do
    [ ! -f "$wrapper" ] || exec /bin/sh "$wrapper" "$@"
done
printf '%s: the Python package gilshim is not in %s/../lib; install it again\n' "$0" "$here" >&2
exit 125
