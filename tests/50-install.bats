# make install and uninstall, file by file, and that the installed files work. The pages are those of shim/doc (52-readme.bats).

load helpers

setup_file() {
    unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS
    # Built for itself, so that nothing is rebuilt under the other tests' feet.
    export BUILD=$BATS_FILE_TMPDIR/build
    timeout -s KILL 300 make -C "$ROOT" BUILD="$BUILD" all
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

made() {
    limited 120 make -C "$ROOT" BUILD="$BUILD" "$@"
    is_status 0
}
files_in() { (cd "$1" && find . ! -type d -printf '%m %P\n' | sort -k 2); }
# The names of the pages and pictures that are installed beside README.md, README.md among them; each with $1 in front.
documentation() { (cd "$ROOT/shim/doc" && printf '%s\n' ../../README.md *.md *.svg) | sed "s|.*/||; s|^|$1|" | sort; }
version() { sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h"; }

@test "make install puts these files there, and no others" {
    made install DESTDIR="$PWD/stage" PREFIX=/usr
    [ "$(documentation x | wc -l)" -gt 10 ]
    [ "$(files_in stage)" = "755 usr/bin/run-with-shim.sh
644 usr/lib/libgilshim.so
755 usr/libexec/gilshim/gilshim-inspect
644 usr/share/bash-completion/completions/run-with-shim.sh
$(documentation '644 usr/share/doc/gilshim/')
644 usr/share/fish/vendor_completions.d/run-with-shim.sh.fish
644 usr/share/gilshim/gilshim.supp
644 usr/share/gilshim/plot.html
644 usr/share/man/man1/gilshim.1
777 usr/share/man/man1/run-with-shim.sh.1
644 usr/share/zsh/site-functions/_gilshim" ]
    cmp stage/usr/lib/libgilshim.so "$BUILD/libgilshim.so"
    cmp stage/usr/libexec/gilshim/gilshim-inspect "$BUILD/gilshim-inspect"
    cmp stage/usr/share/gilshim/gilshim.supp "$ROOT/shim/dist/gilshim.supp"
    cmp stage/usr/share/gilshim/plot.html "$BUILD/plot.html"
    # Nothing of the place where it was built or staged is in the script.
    run ! grep -q '@[A-Z]*@\|'"$PWD" stage/usr/bin/run-with-shim.sh stage/usr/share/man/man1/gilshim.1
    grep -q "^libdir='/usr/lib' " stage/usr/bin/run-with-shim.sh
    grep -q '^.It Pa /usr/lib/libgilshim.so$' stage/usr/share/man/man1/gilshim.1
    grep -q '^.It Pa /usr/share/gilshim/gilshim.supp$' stage/usr/share/man/man1/gilshim.1
    # Both names lead to the page.
    cmp stage/usr/share/man/man1/run-with-shim.sh.1 stage/usr/share/man/man1/gilshim.1
}

@test "the links of the installed pages lead to installed pages" {
    require "needs python3" test -x /usr/bin/python3
    made install DESTDIR="$PWD/stage" DOCDIR=/doc
    limited 60 "$ROOT/tests/links" stage/doc/*.md
    is_status 0
    is_silent
}

@test "the default prefix is /usr/local; each folder can be set apart" {
    made install DESTDIR="$PWD/stage"
    [ "$(files_in stage | cut -d ' ' -f 2 | head -n 1)" = usr/local/bin/run-with-shim.sh ]
    made install DESTDIR="$PWD/other" PREFIX=/opt/x LIBDIR=/opt/x/lib/multi BINDIR=/opt/bin DOCDIR=/opt/doc MANDIR=/opt/man COMPDIR=/opt/comp \
        ZSHDIR=/opt/zsh FISHDIR=/opt/fish
    [ "$(files_in other | cut -d ' ' -f 2 | tr '\n' ' ')" = "opt/bin/run-with-shim.sh opt/comp/run-with-shim.sh $(documentation opt/doc/ | tr '\n' ' ')\
opt/fish/run-with-shim.sh.fish opt/man/man1/gilshim.1 opt/man/man1/run-with-shim.sh.1 opt/x/lib/multi/libgilshim.so \
opt/x/libexec/gilshim/gilshim-inspect opt/x/share/gilshim/gilshim.supp opt/x/share/gilshim/plot.html opt/zsh/_gilshim " ]
    made install DESTDIR="$PWD/third" PREFIX=/opt/x DATADIR=/opt/data
    [ "$(files_in third | grep -c ' opt/data/')" -eq $((7 + $(documentation x | wc -l))) ]
}

@test "make uninstall removes these files, and no others" {
    made install DESTDIR="$PWD/stage" PREFIX=/usr
    touch stage/usr/lib/other.so stage/usr/bin/other stage/usr/share/man/man1/other.1
    made uninstall DESTDIR="$PWD/stage" PREFIX=/usr
    [ "$(files_in stage | cut -d ' ' -f 2 | tr '\n' ' ')" = "usr/bin/other usr/lib/other.so usr/share/man/man1/other.1 " ]
    [ ! -e stage/usr/share/doc/gilshim ]
    [ ! -e stage/usr/share/gilshim ]
    [ ! -e stage/usr/libexec/gilshim ]
    # Once more, where nothing is left.
    made uninstall DESTDIR="$PWD/stage" PREFIX=/usr
    made uninstall DESTDIR="$PWD/nothing" PREFIX=/usr
    [ ! -e nothing ]
}

@test "make install twice is as once" {
    made install DESTDIR="$PWD/stage" PREFIX=/usr
    files_in stage >before
    made install DESTDIR="$PWD/stage" PREFIX=/usr
    files_in stage | diff before -
}

# The page is that of this installation, and has the timeline in it.
plots() {
    printf '[\n{"ph":"M","pid":7,"tid":7,"name":"process_name","args":{"name":"x<y"}}\n]\n' >timeline
    limited 30 "$1" --plot timeline
    is_status 0
    has_line '{"ph":"M","pid":7,"tid":7,"name":"process_name","args":{"name":"x\\u003cy"}}'
    has_line '</html>'
}

@test "runs from where it is installed, by name, by path and through a link" {
    made install PREFIX="$PWD/prefix"
    local library=$PWD/prefix/lib/libgilshim.so
    limited 30 prefix/bin/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$library" ]
    PATH=$PWD/prefix/bin:$PATH limited 30 run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$library" ]
    ln -s "$PWD/prefix/bin/run-with-shim.sh" gilshim
    limited 30 ./gilshim printenv LD_PRELOAD
    [ "$output" = "$library" ]
    limited 30 prefix/bin/run-with-shim.sh --version
    has_line "run-with-shim.sh (gilshim) $(version)"
    has_line "$library: version $(version) (*"
    limited 30 prefix/bin/run-with-shim.sh --pid $$
    has_line "gilshim-inspect: process $$: there is no CPython in it *"
    plots prefix/bin/run-with-shim.sh
    # Nor does it need to stay there.
    mv prefix moved
    limited 30 moved/bin/run-with-shim.sh --pid $$
    has_line "gilshim-inspect: process $$: there is no CPython in it *"
    plots moved/bin/run-with-shim.sh
    limited 30 ./moved/bin/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$PWD/moved/lib/libgilshim.so" ]
}

@test "runs where the library is in another folder than ../lib" {
    made install PREFIX="$PWD/prefix" LIBDIR="$PWD/elsewhere/multi" LIBEXECDIR="$PWD/elsewhere/exec" DATADIR="$PWD/elsewhere/data"
    plots prefix/bin/run-with-shim.sh
    limited 30 prefix/bin/run-with-shim.sh --pid $$
    has_line "gilshim-inspect: process $$: there is no CPython in it *"
    limited 30 prefix/bin/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$PWD/elsewhere/multi/libgilshim.so" ]
}

has_man() { command -v man; }

@test "man finds the page by both names" {
    require "needs man" has_man
    made install PREFIX="$PWD/prefix"
    local name
    for name in gilshim run-with-shim.sh; do
        limited 60 env MANPATH="$PWD/prefix/share/man" MANPAGER=cat man "$name"
        is_status 0
        has_line 'NAME*'
        has_line '*run-with-shim.sh*'
    done
}

@test "what is installed repairs: the demo's program" {
    use_python static || use_python shared
    made install PREFIX="$PWD/prefix"
    "$ROOT/tests/demo/build" "$PYTHON" modules
    export PYTHONPATH=$PWD/modules
    fails_without "$PYTHON" -S "$ROOT/tests/demo/demo.py"
    limited 30 prefix/bin/run-with-shim.sh "$PYTHON" -S "$ROOT/tests/demo/demo.py"
    is_status 0
}

# The Dockerfile of shim/doc/containers.md, without Docker.
@test "what the Dockerfile's first stage makes is what the image takes, and its variables repair" {
    use_python static || use_python shared
    local page=$ROOT/shim/doc/containers.md make environment
    make=$(sed -n 's/^RUN \(make .*\)/\1/p' "$page")
    grep -qx 'COPY gilshim /src' "$page" && grep -qx 'COPY --from=gilshim /out/usr/local /usr/local' "$page"
    limited 120 sh -c "$(sed "s|/src|$ROOT|; s| BUILD=.*| BUILD=$BUILD|; s|/out|$PWD/out|" <<<"$make")"
    is_status 0
    environment=$(sed -n 's/^ENV //p' "$page" | sed "s|/usr/local|$PWD/out&|")
    [[ $environment = LD_PRELOAD=*' GILSHIM_OPTIONS='* ]]
    "$ROOT/tests/demo/build" "$PYTHON" modules
    limited 60 sh -c "env $environment PYTHONPATH=modules $PYTHON -S $ROOT/tests/demo/demo.py"
    is_status 0
    has_line '*gilshim: repaired held: *'
}

@test "make dist packs what make needs" {
    require "needs a git checkout" git -C "$ROOT" rev-parse --verify HEAD
    made dist
    tar -tzf "$BUILD/gilshim-$(version).tar.gz" >list
    local file
    for file in Makefile README.md LICENSE run-with-shim.sh shim/version.h shim/dist/gilshim.1 tests/run; do
        grep -qx "gilshim-$(version)/$file" list
    done
}

@test "make help names every target" {
    made help
    local target
    for target in all demo check lint bench install uninstall clean dist wheel deb help; do has_line "  $target *"; done
}
