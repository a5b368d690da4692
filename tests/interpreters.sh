#!/bin/sh
# Lists the CPython interpreters of this machine, one a line, fields separated by tabs:
#   tag  kind  version  build  python  include  libdir  ldlib
# tag      short name used for folders and test names: 3.8, deb3.11, deb3.11-dbg, deb3.11-shared; 3.13t: built without the GIL
# kind     static (the executable contains CPython and exports it) or shared (it is linked to libpython)
# version  2.7, 3.6, ...
# build    release or debug
# python   the program to run; "-" where only libpython is there (fixtures build their own python then)
# include  directory of Python.h
# libdir   directory of libpython (shared or static)
# ldlib    what to give to -l: python3.8, python3.6m; for kind static the name of the .a, or "-" where there is none
# GILSHIM_TEST_PYTHONS="tag tag ..." restricts the list; a tag may be a pattern (deb3.??). One without the GIL is only listed if it is named there: most tests
# are about the GIL.
set -eu

query='
import sys, sysconfig
v = sysconfig.get_config_var
version = "%d.%d" % sys.version_info[:2]
version += "t" if v("Py_GIL_DISABLED") else ""
build = "debug" if hasattr(sys, "gettotalrefcount") else "release"
include = sysconfig.get_paths()["include"]
library = "python%s" % v("LDVERSION")
if sys.version_info[0] == 2: # has no LDVERSION, and Debian has its paths in distutils
    from distutils.sysconfig import get_python_inc
    include = get_python_inc()
    library = v("LDLIBRARY").split(".so")[0][len("lib"):]
sys.stdout.write("%s\t%s\t%s\t%s\t%s\n" % (version, build, include, v("LIBDIR"), library))
'

# $1 tag prefix, $2 python program
describe() {
    python=$2
    line=$("$python" -S -c "$query" 2>/dev/null) || return 0
    IFS='	' read -r version build include libdir ldlib <<LINE
$line
LINE
    [ -f "$include/Python.h" ] || return 0
    # Debian's sysconfig describes the build of its libpython, not of its executable: ask the executable itself.
    if readelf -d "$(readlink -f "$python")" | grep -q 'NEEDED.*libpython'; then kind=shared; else kind=static; fi
    tag=$1$version
    case $version in
    *t)
        [ -n "${GILSHIM_TEST_PYTHONS:-}" ] || return 0
        version=${version%t}
        ;;
    esac
    [ "$build" = release ] || tag=$tag-dbg
    emit "$tag" "$kind" "$version" "$build" "$python" "$include" "$libdir" "$ldlib"
    # Debian's interpreter is static, and its libpython package has the shared twin of the same build.
    multiarch=$(gcc -print-multiarch 2>/dev/null || echo)
    if [ "$kind" = static ] && [ -e "/usr/lib/$multiarch/lib$ldlib.so" ]; then
        emit "$tag-shared" shared "$version" "$build" - "$include" "/usr/lib/$multiarch" "$ldlib"
    fi
}

is_wanted() {
    [ -n "${GILSHIM_TEST_PYTHONS:-}" ] || return 0
    set -f
    for wanted in $GILSHIM_TEST_PYTHONS; do
        # shellcheck disable=SC2254 # a pattern on purpose
        case $1 in $wanted) set +f && return 0 ;; esac
    done
    set +f
    return 1
}

emit() {
    is_wanted "$1" || return 0
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$@"
}

for python in "$HOME"/.pyenv/versions/*/bin/python[23].[0-9] "$HOME"/.pyenv/versions/*/bin/python[23].[0-9][0-9]; do
    [ -x "$python" ] && describe "" "$python"
done
for python in /usr/bin/python[23].[0-9] /usr/bin/python[23].[0-9][0-9] /usr/bin/python[23].[0-9]-dbg /usr/bin/python[23].[0-9][0-9]-dbg; do
    [ -x "$python" ] && describe deb "$python"
done
exit 0
