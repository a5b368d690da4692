#!/usr/bin/env bats
# The packages: the tarball (make dist), Debian's package (make deb), and those of other systems, as far as Debian has the tools.
# They contain the committed sources.

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

# The names of the pages and pictures in the folder of the documentation, each with $1 in front.
documentation() { (cd "$ROOT/shim/doc" && printf '%s\n' ../../README.md *.md *.svg) | sed "s|.*/||; s|^|$1|"; }

@test "make deb: these files, and no others" {
    a_package
    local library
    library=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/gilshim/libgilshim.so
    [ "$(dpkg-deb --fsys-tarfile "$package" | tar -tv | awk '!/^d/ { print $1, $2, $6 }' | sort -k 3)" = "$(sort -k 3 <<FILES
-rwxr-xr-x root/root ./usr/bin/run-with-shim.sh
-rw-r--r-- root/root ./$library
-rwxr-xr-x root/root ./usr/libexec/gilshim/gilshim-inspect
-rw-r--r-- root/root ./usr/share/bash-completion/completions/run-with-shim.sh
$(documentation '-rw-r--r-- root/root ./usr/share/doc/gilshim/')
-rw-r--r-- root/root ./usr/share/doc/gilshim/changelog.Debian.gz
-rw-r--r-- root/root ./usr/share/doc/gilshim/copyright
-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/run-with-shim.sh.fish
-rw-r--r-- root/root ./usr/share/gilshim/gilshim.supp
-rw-r--r-- root/root ./usr/share/gilshim/plot.html
-rw-r--r-- root/root ./usr/share/lintian/overrides/gilshim
-rw-r--r-- root/root ./usr/share/man/man1/gilshim.1.gz
lrwxrwxrwx root/root ./usr/share/man/man1/run-with-shim.sh.1.gz
-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_gilshim
FILES
)" ]
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

# ---- rpm

has_rpmbuild() { command -v rpmbuild; }
an_rpm() {
    require "needs rpmbuild" has_rpmbuild
    rpm=$BUILD/rpm/gilshim-$(version)-1.$(uname -m).rpm
    # Debian's gcc is not in rpm's database.
    [ -e "$rpm" ] || made rpm RPMBUILD='rpmbuild --nodeps'
    [ -e "$rpm" ]
}

@test "make rpm: these files, and no others" {
    an_rpm
    [ "$(rpm -qlvp "$rpm" | awk '!/^d/ && !/\.build-id/ { print $1, $3, $9 }' | sed 's|/licenses/gilshim-[0-9.]*/|/licenses/gilshim/|' | sort -k 3)" = "$(sort -k 3 <<FILES
-rwxr-xr-x root /usr/bin/run-with-shim.sh
-rw-r--r-- root /usr/lib64/gilshim/libgilshim.so
-rwxr-xr-x root /usr/libexec/gilshim/gilshim-inspect
-rw-r--r-- root /usr/share/bash-completion/completions/run-with-shim.sh
-rw-r--r-- root /usr/share/doc/gilshim/NEWS
$(documentation '-rw-r--r-- root /usr/share/doc/gilshim/')
-rw-r--r-- root /usr/share/fish/vendor_completions.d/run-with-shim.sh.fish
-rw-r--r-- root /usr/share/gilshim/gilshim.supp
-rw-r--r-- root /usr/share/gilshim/plot.html
-rw-r--r-- root /usr/share/licenses/gilshim/LICENSE
-rw-r--r-- root /usr/share/man/man1/gilshim.1
lrwxrwxrwx root /usr/share/man/man1/run-with-shim.sh.1
-rw-r--r-- root /usr/share/zsh/site-functions/_gilshim
FILES
)" ]
    # It needs a libc and a shell, no script is run at installation, and nothing is to be linked to the library.
    run ! grep -v <(rpm -qp --requires "$rpm") -e '^libc\.so' -e '^ld-linux' -e '^rpmlib(' -e '^rtld(' -e '^/bin/sh$'
    [ -z "$(rpm -qp --scripts "$rpm")" ]
    run ! grep -v '^gilshim[ (]' <(rpm -qp --provides "$rpm")
}

@test "make rpm: rpmlint has nothing to say" {
    require "needs rpmlint" command -v rpmlint
    an_rpm
    limited 120 rpmlint -r "$ROOT/shim/dist/gilshim.rpmlintrc" "$rpm" "$BUILD/rpm/gilshim.spec"
    is_status 0
    has_line '*1 packages and 1 specfiles checked; 0 errors, 0 warnings*'
}

@test "make rpm: installed, the wrapper finds its library" {
    require "needs root and mount namespaces" can_overlay
    an_rpm
    export rpm
    on_an_overlay '
        rpm -i --nodeps "$rpm"
        run-with-shim.sh printenv LD_PRELOAD | grep -x /usr/lib64/gilshim/libgilshim.so
        run-with-shim.sh --version | grep "^/usr/lib64/.* (commit "
        rpm -V --nodeps gilshim
        rpm -e gilshim
        test ! -e /usr/bin/run-with-shim.sh
        test ! -e /usr/lib64/gilshim' || told "not as expected"
}

# ---- others

# makepkg does not run as root, and others can't enter the tests' folder.
made_by_makepkg() {
    local place
    place=$(mktemp -d)
    cp "$BUILD/gilshim-$(version).tar.gz" "$ROOT/shim/dist/PKGBUILD" "$place"
    local as_user=()
    if [ "$(id -u)" = 0 ]; then
        chown -R nobody "$place"
        as_user=(setpriv --reuid=nobody --clear-groups --inh-caps=-all)
    fi
    # There is no pacman to ask.
    cd "$place" && limited 300 env HOME="$place" PACMAN=true "${as_user[@]}" makepkg --nodeps
    cd "$BATS_TEST_TMPDIR" && mkdir -p unpacked
    tar -xzf "$place/gilshim-$(version)-1-$(uname -m).pkg.tar.gz" -C unpacked || status=1
    rm -rf "$place"
}

@test "PKGBUILD: makepkg builds it, and the wrapper finds its library" {
    require "needs makepkg and fakeroot" sh -c 'command -v makepkg && command -v fakeroot && command -v bsdtar'
    made dist
    made_by_makepkg
    is_status 0
    [ "$(cd unpacked/usr && find . ! -type d | sort | tr '\n' ' ')" = "./bin/run-with-shim.sh ./lib/gilshim/gilshim-inspect ./lib/gilshim/libgilshim.so \
./share/bash-completion/completions/run-with-shim.sh $(documentation ./share/doc/gilshim/ | sort | tr '\n' ' ')./share/fish/vendor_completions.d/run-with-shim.sh.fish \
./share/gilshim/gilshim.supp ./share/gilshim/plot.html ./share/licenses/gilshim/LICENSE ./share/man/man1/gilshim.1.gz ./share/man/man1/run-with-shim.sh.1.gz \
./share/zsh/site-functions/_gilshim " ]
    grep -q "^libdir='/usr/lib/gilshim' " unpacked/usr/bin/run-with-shim.sh
}

@test "the conda recipe: it is a recipe, its script builds, and its own tests pass" {
    require "needs python3-jinja2 and python3-yaml" /usr/bin/python3 -c 'import jinja2, yaml'
    made dist
    tar -xzf "$BUILD/gilshim-$(version).tar.gz"
    cat >render.py <<'RENDER'
import re, sys, jinja2, yaml
# What conda-build gives to a recipe.
def load_file_regex(load_file, regex_pattern, from_recipe_dir):
    return re.search(regex_pattern, open(load_file).read())
text = jinja2.Template(open("shim/dist/conda/meta.yaml").read()).render(load_file_regex=load_file_regex, compiler=lambda language: language + "_compiler")
recipe = yaml.safe_load(re.sub(r"^.*# \[not linux\]$", "", text, flags=re.M))
assert recipe["package"] == {"name": "gilshim", "version": sys.argv[1]} or recipe["package"]["version"] == sys.argv[1], recipe["package"]
assert recipe["requirements"]["build"] == ["c_compiler", "make"]
open(recipe["about"]["license_file"])
for kind, commands in ("build", recipe["build"]["script"]), ("test", recipe["test"]["commands"]):
    open(kind + ".sh", "w").write("\n".join(["set -eux"] + commands) + "\n")
RENDER
    cd "gilshim-$(version)"
    limited 30 /usr/bin/python3 ../render.py "$(version)"
    is_status 0
    # As conda's compilers are called.
    export PREFIX=$PWD/prefix CC=gcc CFLAGS='-march=nocona -ftree-vectorize -fPIC -fstack-protector-strong -fno-plt -O2 -pipe -flto' LDFLAGS='-Wl,-O2 -Wl,--sort-common -Wl,--as-needed -Wl,-z,relro -Wl,-z,now'
    [ "$(uname -m)" = x86_64 ] || CFLAGS=-O2
    limited 300 bash build.sh
    is_status 0
    PATH=$PREFIX/bin:$PATH limited 60 bash test.sh
    is_status 0
}

@test "the Nix expression: nix evaluates it, with the version" {
    require "needs nix" command -v nix-instantiate
    # Without nixpkgs: what it asks of it is stood in for.
    export HOME=$PWD NIX_STORE_DIR=$PWD/store NIX_STATE_DIR=$PWD/state NIX_LOG_DIR=$PWD/log NIX_CONF_DIR=$PWD
    limited 60 nix-instantiate --eval --strict --json -E "
        let expression = import $ROOT/shim/dist { pkgs = {
            stdenv.mkDerivation = attributes: attributes;
            lib = { cleanSource = toString; licenses.mit = \"MIT\"; };
        }; }; in { inherit (expression) pname version src makeFlags meta; }"
    is_status 0
    has_line "*\"pname\":\"gilshim\"*"
    has_line "*\"version\":\"$(sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h")\"*"
    has_line "*\"src\":\"$ROOT\"*"
    has_line '*"makeFlags":\["PREFIX=/*'
}

@test "every package states the version of the library" {
    local version
    version=$(sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h")
    grep -qx "Version:        $version" "$ROOT/shim/dist/gilshim.spec"
    grep -q "^\* .* - $version-1$" "$ROOT/shim/dist/gilshim.spec"
    grep -qx "pkgver=$version" "$ROOT/shim/dist/PKGBUILD"
    grep -q "^gilshim ($version-1) " "$ROOT/shim/dist/debian/changelog"
    grep -q "^gilshim $version " "$ROOT/NEWS"
}
