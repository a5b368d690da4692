#!/bin/sh
# Starts a program with libgilshim.so preloaded, and says so where that can't help. `run-with-shim.sh -h` tells how.
# POSIX sh. Of other programs it needs only what every Debian has, and does without od, readlink and getcap where they miss.
set -eu

libdir='@LIBDIR@'   # both are put in by `make install`
version='@VERSION@'

usage() {
    cat <<'USAGE'
Usage: run-with-shim.sh [OPTIONS] [--] COMMAND [ARGUMENT...]

Runs COMMAND with libgilshim.so preloaded, so that native Python modules that mix
CPython's GIL APIs neither deadlock nor die. The exit status is COMMAND's.

  -v         tell on stderr what is repaired, once for each place; twice: more
  -q         tell nothing
  -o FILE    write messages to FILE.PID instead of stderr (%p pid, %h host, %e program)
  --check    don't run COMMAND: tell whether the shim can serve it, how, and which
             repairs it has there; exit status 0 if it can, 1 if it can't
  -h, --help
  --version

Options are added to those in GILSHIM_OPTIONS; `GILSHIM_OPTIONS=help=1 run-with-shim.sh
COMMAND` lists what can be set there. Exit status 2: wrong usage, or the shim itself is
missing; 126: COMMAND can't be executed; 127: COMMAND not found.
USAGE
}

say() { printf 'run-with-shim.sh: %s\n' "$*" >&2; }
wrong_usage() {
    say "$*; run-with-shim.sh -h tells how to use it"
    exit 2
}
have() { command -v "$1" >/dev/null 2>&1; }
resolved() { readlink -f -- "$1" 2>/dev/null || printf '%s\n' "$1"; }

# ---- finding the library

self=$(resolved "$0")
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P)
case $version in @*) version=$(sed -n 's/^#define GILSHIM_VERSION "\(.*\)"$/\1/p' "$here/shim/version.h" 2>/dev/null) || : ;; esac

find_library() {
    for library in "$here/libgilshim.so" "$here/build/libgilshim.so" "$here/../lib/libgilshim.so" "$libdir/libgilshim.so"; do
        [ -r "$library" ] || continue
        library=$(resolved "$library")
        # ld.so would take such a name for several, ignore them all, and run the program without the shim.
        case $library in
        *[[:space:]:]*) say "can't preload '$library': a path with a blank or a colon is split by ld.so; put the shim elsewhere" ;;
        *'$'*) say "can't preload '$library': ld.so would expand the dollar sign; put the shim elsewhere" ;;
        *) return 0 ;;
        esac
        return 1
    done
    say "no libgilshim.so beside $self, in $here/build or in $here/../lib: build it with make"
    return 1
}

# Prints the LD_PRELOAD to use: ours in front of what is there already, but behind the sanitizers' runtimes, which refuse
# to start unless they come first (so the one that $executable is linked to must be preloaded as well); not twice.
preload_list() {
    sanitizers='' others=''
    if [ -z "$why_not" ] && LC_ALL=C grep -q 'lib[at]san\.so' "$executable" 2>/dev/null; then
        runtime=$(LD_PRELOAD='' LD_TRACE_LOADED_OBJECTS=1 "$executable" 2>/dev/null </dev/null |
            sed -n 's|.*lib[at]san\.so.* => \(/[^ :]*\) .*|\1|p' | head -n 1)
        [ -z "$runtime" ] || sanitizers=$runtime:
    fi
    old_ifs=$IFS
    IFS=' :'
    set -f
    # shellcheck disable=SC2086 # to be split
    set -- ${LD_PRELOAD:-}
    set +f
    IFS=$old_ifs
    for entry; do
        case $entry in
        '' | "${runtime:-}") ;;
        *libasan.so* | *libtsan.so* | *libhwasan.so* | *libclang_rt.*san*) sanitizers=$sanitizers$entry: ;;
        *) [ "$(resolved "$entry")" = "$library" ] || others=$others:$entry ;;
        esac
    done
    printf '%s\n' "$sanitizers$library$others"
}

# ---- knowing the program

# Sets $program to the file that would be executed for the command $1; exits with 126 or 127 as a shell would.
find_program() {
    program=''
    case $1 in
    */*) program=$1 ;;
    *)
        rest=${PATH:-/usr/bin:/bin}:
        while [ -n "$rest" ]; do
            directory=${rest%%:*}
            rest=${rest#*:}
            file=${directory:-.}/$1
            [ -f "$file" ] || continue
            [ -x "$file" ] && program=$file && break
            program=${program:-$file}
        done
        ;;
    esac
    if [ -z "$program" ] || [ ! -e "$program" ]; then
        say "$1: command not found"
        exit 127
    elif [ -d "$program" ]; then
        say "$program: is a directory"
        exit 126
    elif [ ! -x "$program" ]; then
        say "$program: is not executable"
        exit 126
    fi
}

# Sets $script and $executable: the ELF file that the kernel will start for $program, through `#!` lines and env(1).
find_executable() {
    executable=$program
    script=''
    elf_magic=$(printf '\177ELF')
    depth=0
    while [ $depth -lt 4 ] && [ -r "$executable" ]; do
        first=''
        { IFS= read -r first <"$executable"; } 2>/dev/null || :
        case $first in "$elf_magic"*) return 0 ;; esac
        script=$executable
        case $first in '#!'*) ;; *) # a shell runs it then
            executable=/bin/sh
            return 0
            ;;
        esac
        set -f
        # shellcheck disable=SC2086
        set -- ${first#'#!'}
        set +f
        [ $# -gt 0 ] || return 0
        executable=$1
        case ${executable##*/} in env)
            # `#!/usr/bin/env -S VAR=x python3 -u`: the first word that is neither option nor assignment
            shift
            while [ $# -gt 0 ]; do
                case $1 in -* | *=*) shift ;; *) break ;; esac
            done
            [ $# -eq 0 ] || executable=$(found=$(command -v -- "$1") && [ -x "$found" ] && printf '%s\n' "$found") || executable=$1
            ;;
        esac
        depth=$((depth + 1))
    done
}

# The bytes $2.. (count $3) of file $1 as decimal numbers.
bytes() { od -An -v -tu1 -j "$2" -N "$3" -- "$1" 2>/dev/null; }

# Sets class and machine of the ELF file $1 (both empty if it is none, or od is missing).
elf_kind() {
    class='' machine=''
    # shellcheck disable=SC2046
    set -- $(bytes "$1" 0 20)
    [ $# -eq 20 ] && [ "$1 $2 $3 $4" = '127 69 76 70' ] || return 0
    class=$5
    machine=$((${19} + 256 * ${20}))
}

# Prints the program interpreter (PT_INTERP) that the 64-bit ELF file $1 asks for; fails if it asks for none.
elf_interp() {
    file=$1
    # shellcheck disable=SC2046
    set -- $(bytes "$file" 32 26)
    [ $# -eq 26 ] || return 0
    offset=$(($1 + 256 * ($2 + 256 * ($3 + 256 * $4))))
    count=$((${25} + 256 * ${26}))
    while [ "$count" -gt 0 ]; do
        # shellcheck disable=SC2046
        set -- $(bytes "$file" "$offset" 56)
        [ $# -eq 56 ] || return 0
        if [ "$1 $2 $3 $4" = '3 0 0 0' ]; then
            dd if="$file" bs=1 skip=$(($9 + 256 * (${10} + 256 * (${11} + 256 * ${12})))) count=$((${33} + 256 * ${34} - 1)) 2>/dev/null
            return 0
        fi
        offset=$((offset + 56))
        count=$((count - 1))
    done
    return 1
}

architecture() {
    case $1-$2 in
    1-3) echo 32-bit x86 ;;
    1-40) echo 32-bit ARM ;;
    2-62) echo x86-64 ;;
    2-183) echo AArch64 ;;
    1-62) echo x32 ;;
    2-243) echo 64-bit RISC-V ;;
    *) echo "class $1, machine $2" ;;
    esac
}

# Prints why the shim can't help $executable; nothing if it is not known that it can't.
obstacle() {
    real=$(resolved "$executable")

    # ld.so ignores LD_PRELOAD where the kernel gives the program other rights than its caller's.
    # shellcheck disable=SC2012 # of one known file, and POSIX has no stat
    owner=$(LC_ALL=C ls -Lnd -- "$real" 2>/dev/null | { read -r _ _ uid gid _ && echo "$uid $gid"; }) || owner='- -'
    if [ -u "$real" ] && [ "${owner% *}" != "$(id -u)" ]; then
        echo 'it is set-uid, and the loader ignores LD_PRELOAD there'
        return
    elif [ -g "$real" ] && [ "${owner#* }" != "$(id -g)" ]; then
        echo 'it is set-gid, and the loader ignores LD_PRELOAD there'
        return
    elif [ "$(id -u)" != 0 ]; then
        PATH=$PATH:/usr/sbin:/sbin
        if have getcap && [ -n "$(getcap -- "$real" 2>/dev/null || getcap "$real" 2>/dev/null || :)" ]; then
            echo 'it has file capabilities, and the loader ignores LD_PRELOAD there'
            return
        fi
    fi

    # The loader itself, called by hand, has no interpreter and does preload.
    case ${real##*/} in
    ld-linux*.so* | ld-2.*.so) return ;;
    pypy*) echo 'it is PyPy, which has a GIL of its own making: the shim is for CPython' && return ;;
    esac

    have od || return 0
    elf_kind "$library"
    library_kind="$class $machine"
    elf_kind "$real"
    [ -n "$class" ] && [ "$library_kind" != ' ' ] || return 0
    if [ "$class $machine" != "$library_kind" ]; then
        # shellcheck disable=SC2086
        echo "it is a program for $(architecture $class $machine), the shim is for $(architecture $library_kind)"
    elif [ "$class" = 2 ]; then
        if ! interp=$(elf_interp "$real"); then
            echo 'it is statically linked: no loader runs that could preload anything'
        else
            case $interp in *ld-musl*) echo 'it is linked to musl, the shim to glibc' ;; esac
        fi
    fi
}

# ---- --check

tell() { printf 'gilshim: %s\n' "$*"; }
cannot() {
    tell "can't be served: $*"
    exit 1
}

check() {
    tell "program: $program$([ -z "$script" ] || printf ' (a script, run by %s)' "$executable")"
    [ -z "$why_not" ] || cannot "$why_not"
    [ -r "$executable" ] || cannot "$executable can't be read"
    real=$(resolved "$executable")
    # Ask ld.so what it would load, as ldd does, before anything of the program's is run.
    preload=$(preload_list)
    loaded=$(LD_TRACE_LOADED_OBJECTS=1 LD_PRELOAD=$preload "$executable" 2>&1 </dev/null) || :
    case $loaded in *libgilshim.so*) ;; *) cannot "the loader did not take the shim: $(printf '%s\n' "$loaded" | head -n 1)" ;; esac
    case $loaded in *libpypy*) cannot 'it is PyPy, which has a GIL of its own making: the shim is for CPython' ;; esac

    # Now for real: with check=1 the library tells what it found, and ends the process before the program's main().
    status=0
    answer=$(LD_PRELOAD=$preload GILSHIM_OPTIONS=check=1 "$executable" </dev/null 2>&1) || status=$?
    printf '%s\n' "$answer"
    case $answer in
    *'gilshim: interpreter: CPython'*) exit "$status" ;;
    *'gilshim: '*) ;;
    *) cannot 'the library said nothing' ;;
    esac
    if LC_ALL=C grep -q libpython -- "$real" 2>/dev/null; then
        tell 'it names libpython: if it opens that later, it is served from then on'
        exit 0
    fi
    tell 'nothing to serve: no CPython is in it when it starts'
    tell 'programs that it starts, and a libpython that it opens later, are served where they can be; check those programs'
    exit 1
}

# ---- main

options=''
verbosity=''
checking=''
add_option() { options=${options:+$options:}$1; }
log_to() {
    [ -n "$1" ] || wrong_usage '-o needs the name of a file'
    case $1 in
    stderr | stdout | /*) log=$1 ;;
    *) log=$(pwd)/$1 ;;
    esac
    case $log in *:*) wrong_usage "-o $log: the path may not contain a colon" ;; esac
}

log=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --version) printf 'run-with-shim.sh (gilshim) %s\n' "${version:-unknown}" && exit 0 ;;
    --check) checking=1 ;;
    -q) verbosity=0 ;;
    -v | -vv) case $1$verbosity in -vv | -v1 | -v2) verbosity=2 ;; *) verbosity=1 ;; esac ;;
    -o)
        [ $# -ge 2 ] || wrong_usage '-o needs the name of a file'
        log_to "$2"
        shift
        ;;
    -o*) log_to "${1#-o}" ;;
    --)
        shift
        break
        ;;
    -*) wrong_usage "unknown option $1" ;;
    *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || wrong_usage 'no command given'

find_library || exit 2
find_program "$1"
find_executable
why_not=$(obstacle)
[ -z "$checking" ] || check
[ -z "$why_not" ] || say "the shim can't help $executable: $why_not; running it all the same"

[ -z "$verbosity" ] || add_option "verbosity=$verbosity"
[ -z "$log" ] || add_option "log_path=$log"
if [ -n "$options" ]; then
    GILSHIM_OPTIONS=${GILSHIM_OPTIONS:+$GILSHIM_OPTIONS:}$options
    export GILSHIM_OPTIONS
fi

# An exec that takes no options must not be handed a command that looks like one.
case $1 in -*)
    shift
    set -- "$program" "$@"
    ;;
esac
LD_PRELOAD=$(preload_list)
export LD_PRELOAD
exec "$@"
