#!/usr/bin/env bats
# The packages: the tarball (make dist) and the Debian package (make deb). Both contain the committed sources.

# shellcheck disable=SC2030,SC2031 # bats' status, in subshells of bats' own
load helpers

setup_file() {
    unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS
    export BUILD=$BATS_FILE_TMPDIR/build
}
setup() {
    cd "$BATS_TEST_TMPDIR" || return
    require "needs a git checkout" git -C "$ROOT" rev-parse --verify HEAD
}

version() { git -C "$ROOT" show HEAD:shim/version.h | sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p'; }
made() {
    limited 300 make -C "$ROOT" BUILD="$BUILD" "$@"
    is_status 0
}

# The package, built once for all the tests of it, in $package.
has_debhelper() { command -v dpkg-buildpackage && command -v dh; }
a_package() {
    require "needs dpkg-dev and debhelper" has_debhelper
    package=$BUILD/deb/gilshim_$(version)-1_$(dpkg --print-architecture).deb
    [ -e "$package" ] || made deb
    [ -e "$package" ]
}

@test "make dist: the same bytes from another clone, at another time, by another user's settings" {
    made dist
    git clone -q --no-local "$ROOT" clone
    git -C clone checkout -q "$(git -C "$ROOT" rev-parse HEAD)"
    git -C clone config tar.umask 0077
    sleep 1.1
    (umask 077 && TZ=Asia/Tokyo LC_ALL=C GZIP='' limited 60 make -C clone dist && is_status 0)
    cmp "$BUILD/gilshim-$(version).tar.gz" "clone/build/gilshim-$(version).tar.gz"
}

@test "make dist: what is in it builds, and installs" {
    made dist
    tar -xzf "$BUILD/gilshim-$(version).tar.gz"
    # Not a checkout, nor inside one.
    limited 300 env GIT_DIR=/nowhere make -C "gilshim-$(version)" WERROR=1 install DESTDIR="$PWD/stage"
    is_status 0
    [ -x stage/usr/local/bin/run-with-shim.sh ]
    limited 30 "gilshim-$(version)/run-with-shim.sh" printenv LD_PRELOAD
    [ "$output" = "$PWD/gilshim-$(version)/build/libgilshim.so" ]
}

@test "make deb: these files, and no others" {
    a_package
    local library
    library=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/gilshim/libgilshim.so
    [ "$(dpkg-deb --fsys-tarfile "$package" | tar -tv | awk '!/^d/ { print $1, $2, $6 }' | sort -k 3)" = "-rwxr-xr-x root/root ./usr/bin/run-with-shim.sh
-rw-r--r-- root/root ./$library
-rw-r--r-- root/root ./usr/share/bash-completion/completions/run-with-shim.sh
-rw-r--r-- root/root ./usr/share/doc/gilshim/README.md.gz
-rw-r--r-- root/root ./usr/share/doc/gilshim/changelog.Debian.gz
-rw-r--r-- root/root ./usr/share/doc/gilshim/copyright
-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/run-with-shim.sh.fish
-rw-r--r-- root/root ./usr/share/gilshim/gilshim.supp
-rw-r--r-- root/root ./usr/share/lintian/overrides/gilshim
-rw-r--r-- root/root ./usr/share/man/man1/gilshim.1.gz
lrwxrwxrwx root/root ./usr/share/man/man1/run-with-shim.sh.1.gz
-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_gilshim" ]
    # It needs a libc, and nothing else; no script is run at installation.
    limited 30 dpkg-deb -f "$package" Depends
    [[ $output =~ ^libc6\ \(\>=\ [0-9.]+\)$ ]]
    limited 30 dpkg-deb -I "$package"
    has_no_line '*inst*#!*'
}

@test "make deb: lintian has nothing to say" {
    require "needs lintian" command -v lintian
    a_package
    limited 120 lintian --allow-root --fail-on error,warning "$BUILD"/deb/*.changes
    is_status 0
    is_silent
}

# Runs $1 with bash where /usr and /var are changed for it alone.
can_overlay() {
    [ "$(id -u)" = 0 ] && on_an_overlay true
}
on_an_overlay() {
    limited 120 unshare --mount sh -ec '
        mount -t tmpfs gilshim "$1"
        for folder in usr var; do
            mkdir "$1/$folder" "$1/work-$folder"
            mount -t overlay gilshim -o "lowerdir=/$folder,upperdir=$1/$folder,workdir=$1/work-$folder" "/$folder"
        done
        mkdir "$1/home"
        cd "$1/home"
        exec bash -ec "$2"' overlay "$BATS_TEST_TMPDIR" "$1"
    [ "$status" -eq 0 ]
}

@test "make deb: installed, it repairs, is found by man and by bash, and goes away" {
    require "needs root and mount namespaces" can_overlay
    require "needs Debian's python3.11" test -x /usr/bin/python3.11
    a_package
    export package demo=$ROOT/tests/demo
    on_an_overlay '
        dpkg -i --path-include="/usr/*" "$package"
        run-with-shim.sh printenv LD_PRELOAD | grep "^/usr/lib/.*/gilshim/libgilshim.so$"
        run-with-shim.sh --version
        run-with-shim.sh --check /usr/bin/python3
        "$demo/build" /usr/bin/python3 modules
        export PYTHONPATH=$PWD/modules
        if timeout -s KILL 4 /usr/bin/python3 -S "$demo/demo.py"; then exit 1; fi
        timeout -s KILL 30 run-with-shim.sh /usr/bin/python3 -S "$demo/demo.py"
        if command -v man; then for name in gilshim run-with-shim.sh; do MANPAGER=cat man $name | grep -q "run-with-shim.sh.*options"; done; fi
        . /usr/share/bash-completion/completions/run-with-shim.sh && complete -p run-with-shim.sh
        dpkg --verify gilshim
        dpkg --purge gilshim
        test ! -e /usr/bin/run-with-shim.sh
        test ! -e /usr/lib/*/gilshim' || told "not as expected"
}
