#!/usr/bin/env bats
# The shim binds to a libpython made by other linkers or changed by other tools, repairs and reports with it, and changes nothing
# else. The tests relink a libpython in many ways from an archive of position-independent objects: Debian's, or with
# GILSHIM_RELINK=3.13 that of another interpreter (one that was configured with --enable-shared installs it).

load helpers

# Name, then what it is linked with; behind a semicolon what is done to it afterwards.
long=/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long
ways="
bfd-plain          -fuse-ld=bfd
bfd-symbolic       -fuse-ld=bfd -Wl,-Bsymbolic
bfd-functions      -fuse-ld=bfd -Wl,-Bsymbolic-functions
bfd-gnu            -fuse-ld=bfd -Wl,--hash-style=gnu
bfd-sysv           -fuse-ld=bfd -Wl,--hash-style=sysv
bfd-both           -fuse-ld=bfd -Wl,--hash-style=both
bfd-relr           -fuse-ld=bfd -Wl,-z,pack-relative-relocs
bfd-now            -fuse-ld=bfd -Wl,-z,now -Wl,-z,relro
bfd-norelro        -fuse-ld=bfd -Wl,-z,lazy -Wl,-z,norelro
bfd-separate       -fuse-ld=bfd -Wl,-z,separate-code
bfd-noseparate     -fuse-ld=bfd -Wl,-z,noseparate-code
bfd-high           -fuse-ld=bfd -Wl,-Ttext-segment=0x800000000000
bfd-versioned      -fuse-ld=bfd -Wl,--version-script=versions
bfd-stripped       -fuse-ld=bfd -s
bfd-bare           -fuse-ld=bfd -s; $ROOT/tests/unit/cut_sections.sh
bfd-debuglink      -fuse-ld=bfd; split_debug
bfd-gc             -fuse-ld=bfd -Wl,--gc-sections -Wl,-O1
bfd-unique         -fuse-ld=bfd -Wl,-z,unique
lld-plain          -fuse-ld=lld
lld-now            -fuse-ld=lld -Wl,-z,now -Wl,--hash-style=sysv
lld-rodynamic      -fuse-ld=lld -Wl,-z,rodynamic
lld-separate       -fuse-ld=lld -Wl,-z,separate-loadable-segments
lld-functions      -fuse-ld=lld -Wl,-Bsymbolic-functions -Wl,-z,norelro
lld-icf            -fuse-ld=lld -Wl,--icf=all -Wl,--gc-sections
gold-plain         -fuse-ld=gold
gold-sysv          -fuse-ld=gold -Wl,--hash-style=sysv -Wl,-z,now
gold-icf           -fuse-ld=gold -Wl,--icf=all -Wl,--gc-sections
mold-plain         -fuse-ld=mold
mold-icf           -fuse-ld=mold -Wl,--icf=all -Wl,--gc-sections -Wl,-Bsymbolic
mold-now           -fuse-ld=mold -Wl,-z,now -Wl,--hash-style=sysv
bolt-shuffled      -fuse-ld=bfd -Wl,--emit-relocs; shuffle
patchelf-gnu       -fuse-ld=bfd; patchelf --set-rpath $long
patchelf-sysv      -fuse-ld=bfd -Wl,--hash-style=sysv; patchelf --set-rpath $long
patchelf-needed    -fuse-ld=bfd -Wl,-z,now; patchelf --add-needed libgcc_s.so.1 --set-rpath $long
patchelf-pages     -fuse-ld=bfd; patchelf --page-size 65536 --set-rpath $long
patchelf-lld       -fuse-ld=lld; patchelf --set-rpath $long
"

# The version whose archive is there, with the fixtures of its shared libpython.
find_archive() {
    local tag kind version python libdir
    while IFS=$'\t' read -r tag kind version _ python _ libdir _; do
        case ${GILSHIM_RELINK:-}:$kind:$python in
        :shared:-) archive=$(echo /usr/lib/python"$version"/config-"$version"-*/libpython"$version"-pic.a) ;;
        "$tag":shared:*) archive=$(echo "$libdir/python$version/config-$version"*/libpython"$version"*.a) ;;
        *) continue ;;
        esac
        if [ -e "$archive" ]; then
            library=$(basename "$(readlink -f "$libdir/libpython$version.so")")
            original=$libdir/$library
            folder=$ROOT/build/fixtures/$tag
            PY_VERSION=$version
            return 0
        fi
    done <<<"${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}"
    return 1
}

# What is bound at start needs all that is called: from Debian 13 on the archive lacks the objects of hashlib's HACL (3.13+).
is_complete() { [ ! -e "$BATS_FILE_TMPDIR/is_incomplete" ]; }

is_here() {
    case $1 in
    *-now | gold-sysv | patchelf-needed) is_complete || return ;;
    esac
    case $1 in
    bolt-*) bolt ;;
    patchelf-lld) command -v patchelf && command -v ld.lld ;;
    patchelf-*) command -v patchelf ;;
    *) command -v "ld.${1%%-*}" ;;
    esac >/dev/null
}

# As packages for debuggers are made.
split_debug() {
    objcopy --only-keep-debug "$1" "$1.debug" && strip -s "$1" && objcopy --add-gnu-debuglink="$1.debug" "$1"
}

# Debian's name has a version.
bolt() { compgen -c llvm-bolt | grep -m 1 '^llvm-bolt[-0-9]*$'; }

# What an optimizer of binaries does with a profile (CPython's --enable-bolt), but without: all functions in another order, all
# their blocks in reverse, and all but their beginnings in a part of its own.
shuffle() {
    "$(bolt)" "$1" -o "$1.new" -reorder-functions=random -reorder-blocks=reverse -split-functions -split-all-cold -split-eh &&
        mv "$1.new" "$1"
}

# Links one: its name, its flags, what is done to it.
relink() {
    local name=$1 flags=$2 after=$3 needed
    mkdir -p "$name"
    needed=$(readelf -d "$original" | sed -n 's/.*NEEDED.*\[\(.*\)\]$/-l:\1/p')
    # shellcheck disable=SC2086 # lists of words
    gcc -shared -o "$name/$library" -Wl,-soname,"$library" $flags -Wl,--whole-archive "$archive" -Wl,--no-whole-archive $needed &&
        { [ -z "$after" ] || $after "$name/$library"; }
}

setup_file() {
    local archive library original folder name rest
    find_archive || return 0
    cd "$BATS_FILE_TMPDIR" || return
    echo 'PYTHON { global: *; };' >versions
    relink complete -Wl,-z,defs '' >complete.log 2>&1 || touch is_incomplete
    while read -r name rest; do
        if [ -z "$name" ] || ! is_here "$name"; then continue; fi
        while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
        case $rest in
        *\;*) relink "$name" "${rest%%;*}" "${rest#*; }" >"$name.log" 2>&1 & ;;
        *) relink "$name" "$rest" '' >"$name.log" 2>&1 & ;;
        esac
    done <<<"$ways"
    wait
}

# The repairs, each by a shape of tests/fixtures/shapes. In 3.12 and later some of these shapes need none.
repairs='duplicate:main-duplicate held:held subinterp:subinterpreter-saved moved:moved-both share:thread-local null:null
cached:cached-at-once finalize:finalize-pybind'

# What a module's references and dlsym find for each function of the API, and the libpython that is there.
bound() { with_shim "$folder/python" -S -c '
import sys; sys.path.insert(0, sys.argv[1])
import bind_where
for how in bind_where.references, bind_where.by_dlsym:
    for name, where in sorted(how().items()):
        print("%s %s" % (name, where and ("shim" if "gilshim" in where else "python")))
print([line.split()[-1] for line in open("/proc/self/maps") if "/libpython" in line][0])' "$folder"; }

# One libpython, in LD_LIBRARY_PATH.
works() {
    local scenario repair scope
    without "$folder/bind_embed" plain
    [ "$status" -eq 0 ] || told "does not work without the shim" || return
    for scenario in plain duplicate held; do
        works_with "$folder/bind_embed" "$scenario" || return
    done
    bound
    [ "$status" -eq 0 ] && [ "${lines[-1]}" = "$LD_LIBRARY_PATH/$library" ] || told "not what was loaded" || return
    [ "${output%$'\n'*}" = "$expected" ] || told "as Debian links it: $expected" || return
    for repair in $repairs; do
        SHIM_OPTIONS=verbosity=1 works_with "$folder/embed" "${repair#*:}" || return
        has_line "ok ${repair#*:}" || return
        ! is_before "$PY_VERSION" 3.12 || has_line "*gilshim: repaired ${repair%:*}: *" || return
    done
    SHIM_OPTIONS=check=calls:history=16 with_shim "$folder/check-embed" harmless
    has_line "*GIL error: no_gil: libgilcheck.so: Py_DecRef by libgilcheck.so!harmless+0x*" || return
    for scope in local global deep; do
        works_with "$ROOT/build/fixtures/bind_late" "$LD_LIBRARY_PATH/$library" "$scope" module:"$folder/libbind_plugin.so" held || return
    done
    works_with "$ROOT/build/fixtures/bind_late" - deep brings:"$folder/libbind_plugin.so" held || return
}

# Each libpython of one linker or tool.
all_work() {
    local archive library original folder name expected tried=0
    require "needs libpython*-pic.a" find_archive
    bound
    is_status 0
    expected=${output%$'\n'*}
    [[ $expected == *"PyGILState_Ensure shim"* ]]
    while read -r name _; do
        case $name in "$1"-*) ;; *) continue ;; esac
        is_here "$name" || continue
        [ -e "$BATS_FILE_TMPDIR/$name/$library" ] || told "$name can't be linked: $(cat "$BATS_FILE_TMPDIR/$name.log")"
        LD_LIBRARY_PATH=$BATS_FILE_TMPDIR/$name works || told "$name"
        tried=$((tried + 1))
    done <<<"$ways"
    [ "$tried" -gt 0 ]
}

@test "libpython as GNU ld links it, with each kind of hash table, RELRO, layout and base" {
    all_work bfd
}

@test "libpython as lld links it" {
    require "needs ld.lld" command -v ld.lld
    all_work lld
}

@test "libpython as gold links it" {
    require "needs ld.gold" command -v ld.gold
    all_work gold
}

@test "libpython as mold links it" {
    require "needs ld.mold" command -v ld.mold
    all_work mold
}

@test "libpython that BOLT has shuffled" {
    require "needs llvm-bolt" bolt
    all_work bolt
}

@test "libpython that patchelf has lengthened" {
    require "needs patchelf" command -v patchelf
    all_work patchelf
}

@test "the newest libpython, lengthened by patchelf, in every mode" {
    require "needs patchelf" command -v patchelf
    local libpython mode
    use_python shared
    libpython=$(ldd "$FIXTURES/bind_embed" | awk '/libpython/ { print $3; exit }')
    cp -L "$libpython" "$BATS_TEST_TMPDIR/"
    patchelf --set-rpath "$long" "$BATS_TEST_TMPDIR/${libpython##*/}"
    without env LD_LIBRARY_PATH="$BATS_TEST_TMPDIR" "$FIXTURES/bind_embed" plain
    is_status 0
    for mode in repair observe strict; do
        SHIM_OPTIONS=mode=$mode works_with env LD_LIBRARY_PATH="$BATS_TEST_TMPDIR" "$FIXTURES/bind_embed" plain
    done
    works_with env LD_LIBRARY_PATH="$BATS_TEST_TMPDIR" "$FIXTURES/bind_embed" held
}

@test "a static interpreter that patchelf has lengthened" {
    require "needs patchelf" command -v patchelf
    local patched=$BATS_TEST_TMPDIR/python home
    use_python static
    # shellcheck disable=SC2153 # use_python has set it
    home=$("$PYTHON" -S -c 'import sys; print(sys.prefix)')
    cp "$PYTHON" "$patched"
    patchelf --set-rpath "$long" "$patched"
    local command=(env PYTHONHOME="$home" PYTHONPATH="$FIXTURES" "$patched" -S -c 'import bind_now, sys; bind_now.run(sys.argv[1])')
    without "${command[@]}" plain
    is_status 0
    fails_without "${command[@]}" held
    works_with "${command[@]}" held
}

# What an embedding program, or ctypes, may open: no part of Python, and linked to an address that no process has.
@test "a library that is linked at an address above all that a process has" {
    use_python shared
    local library=$BATS_TEST_TMPDIR/high.so
    echo 'int high_answer(void) { return 42; }' >"$BATS_TEST_TMPDIR/high.c"
    gcc -shared -fPIC -fuse-ld=bfd -Wl,-Ttext-segment=0x800000000000 -o "$library" "$BATS_TEST_TMPDIR/high.c"
    works_with "$PYTHON" -c 'import ctypes, sys; high = ctypes.CDLL(sys.argv[1]); print(high.high_answer(), ctypes.pythonapi.PyGILState_Check())' "$library"
    [ "$output" = "42 1" ]
}
