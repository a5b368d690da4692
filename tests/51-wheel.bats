#!/usr/bin/env bats
# What pip installs: the wheel (make wheel), and the tarball of make dist, which pip builds.

# shellcheck disable=SC2030,SC2031 # bats' status, in subshells of bats' own
load helpers

setup_file() {
    # With byte code, as users have it.
    unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS PIP_INDEX_URL PIP_REQUIRE_VIRTUALENV PYTHONDONTWRITEBYTECODE
    export BUILD=$BATS_FILE_TMPDIR/build
    export PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONNOUSERSITE=1
    timeout -s KILL 300 make -C "$ROOT" BUILD="$BUILD" WERROR=1 wheel
}
setup() {
    cd "$BATS_TEST_TMPDIR" || return
    version=$(version)
    wheel=$BUILD/wheel/gilshim-$version-py3-none-manylinux_2_28_$(uname -m).whl
}

version() { sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h"; }
# A checkout can be cloned, and states its commit.
is_checkout() { git -C "$ROOT" rev-parse --verify HEAD; }
unpacked() { python3 -m zipfile -e "$1" "$2"; }
files_in() { (cd "$1" && find . ! -type d | sort); }

# ---- what is in it

@test "make wheel: these files, and no others" {
    unpacked "$wheel" in
    local data=./gilshim-$version.data info=./gilshim-$version.dist-info
    [ "$(files_in in)" = "$(printf '%s\n' "$data"/data/share/bash-completion/completions/{gilshim,run-with-shim.sh} \
        "$data"/data/share/fish/vendor_completions.d/{gilshim,run-with-shim.sh}.fish "$data"/data/share/gilshim/gilshim.supp \
        "$data"/data/share/man/man1/{gilshim,run-with-shim.sh}.1 "$data"/data/share/zsh/site-functions/_gilshim \
        "$data"/scripts/{gilshim,run-with-shim.sh} "$info"/{LICENSE,METADATA,RECORD,WHEEL} \
        ./gilshim/{__init__.py,__main__.py,gilshim-inspect,libgilshim.so,plot.html,run-with-shim.sh} | sort)" ]
    cmp in/gilshim/libgilshim.so "$BUILD/wheel/$(uname -m)/libgilshim.so"
    cmp "in/$info/LICENSE" "$ROOT/LICENSE"
    grep -qx "Version: $(version)" "in/$info/METADATA"
    grep -qx "Tag: py3-none-manylinux_2_28_$(uname -m)" "in/$info/WHEEL"
    # Nothing is left to be filled in, and nothing names the place where it was built.
    run ! grep -rE "@[A-Z]+@|/usr/local/(lib/libgil|share/gil)" in/gilshim "in/$data"
    run ! grep -raF "$ROOT" in/gilshim
}

# As RECORD has it, by other tools than the one that wrote it.
sha256_in_base64() {
    # shellcheck disable=SC2059 # the digest in hexadecimal becomes the format \x12\xab...
    printf "$(sha256sum "$1" | cut -c 1-64 | sed 's/../\\x&/g')" | base64 | tr '+/' '-_' | tr -d '='
}

@test "make wheel: RECORD has every file, its right hash and its size" {
    unpacked "$wheel" in
    local record=in/gilshim-$version.dist-info/RECORD name hash size
    [ "$(cut -d , -f 1 "$record" | sort)" = "$(files_in in | sed 's|^\./||')" ]
    while IFS=, read -r name hash size; do
        case $name in */RECORD) [ -z "$hash$size" ] && continue ;; esac
        [ "$hash" = "sha256=$(sha256_in_base64 "in/$name")" ] || told "$name: $hash"
        [ "$size" = "$(stat -c %s "in/$name")" ]
    done <"$record"
}

# The versions of glibc's symbols that a library needs, and the newest of them.
needs_glibc() { readelf -W --version-info "$1" | grep -o 'Name: GLIBC_[0-9.]*' | sed 's/.*_//' | sort -V | tail -n 1; }
is_at_most() { [ "$(printf '%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$2" ]; }
keeps_its_tag() {
    local needed
    needed=$(needs_glibc "$1")
    [ -n "$needed" ]
    is_at_most "$needed" 2.28 || told "$1 needs GLIBC_$needed"
    # Nor a library that the tag does not allow.
    local library
    for library in $(readelf -Wd "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        case $library in libc.so.6 | libdl.so.2 | libpthread.so.0 | ld-linux-*) ;; *) told "$1 needs $library" ;; esac
    done
}

@test "make wheel: the library needs no newer glibc than the tag says, though an ordinary one here may" {
    keeps_its_tag "$BUILD/wheel/$(uname -m)/libgilshim.so"
    keeps_its_tag "$BUILD/wheel/$(uname -m)/gilshim-inspect"
    # On glibc before 2.34 the functions are in these.
    readelf -Wd "$BUILD/wheel/$(uname -m)/libgilshim.so" | grep -q 'NEEDED.*libdl.so.2'
    readelf -Wd "$BUILD/wheel/$(uname -m)/libgilshim.so" | grep -q 'NEEDED.*libpthread.so.0'
}

@test "a library that needs a newer glibc than the tag says is not packed" {
    # A function of glibc 2.34 under its own name.
    echo 'int close_range(unsigned, unsigned, int); int f(void) { return close_range(1, 2, 3); }' >new.c
    mkdir built && gcc -shared -fPIC -o built/gilshim-inspect new.c && cp "$BUILD/wheel/$(uname -m)/libgilshim.so" built/
    cp "$BUILD/wheel/$(uname -m)/plot.html" built/
    is_at_most "$(needs_glibc built/gilshim-inspect)" 2.28 && told "the test's own library is no example"
    limited 30 python3 "$ROOT/shim/dist/python/wheel.py" --build built --policy manylinux_2_28 --folder .
    is_status 1
    has_line "wheel.py: what was built needs glibc $(needs_glibc built/gilshim-inspect), which manylinux_2_28 does not allow"
    [ -z "$(find . -name '*.whl*')" ]
    limited 30 python3 "$ROOT/shim/dist/python/wheel.py" --build built --policy manylinux_2_34 --folder .
    is_status 0
}

@test "make wheel: the same bytes from another folder, at another time, by another user's settings" {
    require "needs a git checkout" is_checkout
    git clone -q --no-local "$ROOT" one && git clone -q --no-local "$ROOT" two-with-a-longer-name
    limited 300 make -C one wheel
    is_status 0
    sleep 1.1
    (umask 077 && TZ=Asia/Tokyo LC_ALL=C limited 300 make -C two-with-a-longer-name wheel && is_status 0)
    cmp {one,two-with-a-longer-name}/build/wheel/"${wheel##*/}"
    # The files have the time of the commit, or the one that is given.
    local year
    year=$(TZ=UTC git -C one log -1 --date=format-local:%Y --format=%cd)
    [ "$(python3 -m zipfile -l one/build/wheel/"${wheel##*/}" | grep -c " $year-")" -ge 15 ]
    limited 60 env SOURCE_DATE_EPOCH=1000000000 make -C one wheel
    [ "$(python3 -m zipfile -l one/build/wheel/"${wheel##*/}" | grep -c ' 2001-09-09 ')" -ge 15 ]
}

has_cross_compiler() { command -v aarch64-linux-gnu-gcc; }
@test "make wheel CC=aarch64-linux-gnu-gcc: for the other processor, within its tag" {
    require "needs aarch64-linux-gnu-gcc" has_cross_compiler
    limited 300 make -C "$ROOT" BUILD="$BUILD" CC=aarch64-linux-gnu-gcc wheel
    is_status 0
    unpacked "$BUILD/wheel/gilshim-$(version)-py3-none-manylinux_2_28_aarch64.whl" in
    readelf -h in/gilshim/libgilshim.so | grep -q AArch64
    keeps_its_tag in/gilshim/libgilshim.so
    keeps_its_tag in/gilshim/gilshim-inspect
    grep -qx "Tag: py3-none-manylinux_2_28_aarch64" in/gilshim-*.dist-info/WHEEL
}

# ---- installed

# Makes a virtualenv with the interpreter of version $1, as its users do.
can_make() {
    case $1 in
    Debian) python=/usr/bin/python3 ;;
    *) python=$(cut -f 1,5 <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}" | sed -n "s/^$1	//p") ;;
    esac
    [ -x "$python" ] && "$python" -m venv venv
}
pip() { limited 120 venv/bin/python -m pip "$@"; }
# The files in the virtualenv but for pip's own byte code. (Empty folders of share/ are left by pip, whatever the package.)
listed() { find venv ! -type d ! -path '*/pip/*' ! -path '*/setuptools/*' ! -path '*/pkg_resources/*' ! -path '*/_distutils_hack/*' | sort; }

# Starts app.py in the ways that there are: each time in this very virtualenv, with this very library.
serves_the_virtualenv() {
    cat >app.py <<'APP'
import os, sys
maps = open("/proc/self/maps").read()
print(os.path.realpath(sys.prefix), [l.split()[-1] for l in maps.splitlines() if "libgilshim" in l][-1], sys.flags.dont_write_bytecode, *sys.argv[1:])
APP
    local library place=$PWD/venv
    library=$(find "$place" -name libgilshim.so -path '*/lib/python3*/site-packages/gilshim/*')
    PATH=$PWD/venv/bin:$PATH limited 30 gilshim -q python app.py x 'y z'
    [ "$output" = "$place $library 0 x y z" ]
    ln -sf "$PWD/venv/bin/gilshim" elsewhere
    limited 30 ./elsewhere -q venv/bin/python app.py
    [ "$output" = "$place $library 0" ]
    limited 30 venv/bin/run-with-shim.sh -q venv/bin/python app.py
    [ "$output" = "$place $library 0" ]
    limited 30 venv/bin/python -B -m gilshim -q app.py x -v
    [ "$output" = "$place $library 1 x -v" ]
    limited 30 venv/bin/python -m gilshim -qs 0.5 -o log -- -B app.py -- 1
    [ "$output" = "$place $library 1 -- 1" ]
    limited 30 venv/bin/python -m gilshim -s5 -- -c 'import gilshim; print(gilshim.library, gilshim.__version__)'
    is_status 0
    has_line "$library $(version)"
    limited 30 venv/bin/gilshim --version
    has_line "run-with-shim.sh (gilshim) $(version)"
    limited 30 venv/bin/python -m gilshim --pid $$
    has_line "gilshim-inspect: process $$: there is no CPython in it *"
    printf '[\n\n]\n' >timeline
    limited 30 venv/bin/python -m gilshim --plot timeline
    is_status 0
    has_line '</html>'
    limited 60 venv/bin/python -m gilshim --check
    is_status 0
    has_line 'gilshim: interpreter: CPython *'
    # And it repairs.
    "$ROOT/tests/demo/build" "$(readlink -f venv/bin/python)" modules
    PYTHONPATH=$PWD/modules fails_without venv/bin/python -S "$ROOT/tests/demo/demo.py"
    PYTHONPATH=$PWD/modules limited 30 venv/bin/python -m gilshim -- -S "$ROOT/tests/demo/demo.py"
    is_status 0
}

installs_into_a_virtualenv_of() {
    require "needs $1 with venv and pip" can_make "$1"
    listed >before
    pip install "$wheel"
    is_status 0
    serves_the_virtualenv
    pip show -f gilshim
    has_line '*share/man/man1/gilshim.1'
    pip check
    is_status 0
    pip uninstall -y gilshim
    is_status 0
    listed | diff before - || told 'uninstall left something'
}
@test "pip installs the wheel into a virtualenv, it serves that, and leaves nothing: 3.8" { installs_into_a_virtualenv_of 3.8; }
@test "pip installs the wheel into a virtualenv, it serves that, and leaves nothing: 3.11" { installs_into_a_virtualenv_of 3.11; }
@test "pip installs the wheel into a virtualenv, it serves that, and leaves nothing: 3.13" { installs_into_a_virtualenv_of 3.13; }
@test "pip installs the wheel into a virtualenv, it serves that, and leaves nothing: Debian's" { installs_into_a_virtualenv_of Debian; }

@test "pip builds the tarball of make dist, with gcc and nothing from the network" {
    require "needs a git checkout" is_checkout
    require "needs Debian with venv and pip" can_make Debian
    limited 120 make -C "$ROOT" BUILD="$BUILD" dist
    is_status 0
    local sdist=$BUILD/gilshim-$version.tar.gz
    tar -xOzf "$sdist" "gilshim-$(version)/PKG-INFO" | grep -qx "Version: $(version)"
    pip install "$sdist"
    is_status 0
    serves_the_virtualenv
    # It states the commit, though there is no git in it.
    limited 30 venv/bin/gilshim --version
    has_line "*libgilshim.so: version $(version) (commit $(git -C "$ROOT" rev-parse --short=12 HEAD); *"
    pip uninstall -y gilshim
}

@test "pip install --target, and a launcher whose package is gone" {
    require "needs Debian with venv and pip" can_make Debian
    pip install --target "$PWD/target" "$wheel"
    is_status 0
    limited 30 target/bin/gilshim printenv LD_PRELOAD
    [ "$output" = "$PWD/target/gilshim/libgilshim.so" ]
    rm -r target/gilshim
    limited 30 target/bin/gilshim true
    is_status 125
    has_line '*the Python package gilshim is not in *'
}

@test "python -m gilshim knows which of the wrapper's options take a value" {
    local option
    mkdir package && cp "$ROOT/shim/dist/python/__main__.py" package/
    cat >ask.py <<'ASK'
import sys
sys.path.insert(0, "package")
import __main__ as this, importlib.util
spec = importlib.util.spec_from_file_location("m", "package/__main__.py"); m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m)
print(*m.command(sys.argv[1:], ["PYTHON"]))
ASK
    ask() { limited 30 python3 ask.py "$@"; }
    "$ROOT/run-with-shim.sh" -h >help
    # -m MODE: one word more; -v: none.
    while read -r option; do
        ask "$option" VALUE script -v
        [ "$output" = "$option VALUE -- PYTHON script -v" ]
        ask "-v$option" script
        ask "${option}VALUE" script
        [ "$output" = "${option}VALUE -- PYTHON script" ]
    done < <(sed -n 's/^  \(-[a-zA-Z]\) [A-Z].*/\1/p' help)
    while read -r option; do
        ask "$option" script -v
        [ "$output" = "$option -- PYTHON script -v" ]
    done < <(sed -n 's/^  \(-[a-zA-Z]\)\(, --[a-z]*\)\{0,1\}  .*/\1/p' help)
    ask --check script
    [ "$output" = "--check -- PYTHON script" ]
    ask --check --json script
    [ "$output" = "--check --json -- PYTHON script" ]
    ask -v -- -X dev script -- x
    [ "$output" = "-v -- PYTHON -X dev script -- x" ]
    ask -vp 12
    [ "$output" = "-vp 12" ]
    ask --pid 12 -j
    [ "$output" = "--pid 12 -j" ]
    ask -v --options
    [ "$output" = "-v --options" ]
}
