#!/bin/sh
# Starts a program with libgilshim.so preloaded, and says so if this can't help. See `run-with-shim.sh -h`.
# POSIX sh. It needs only programs that every Debian has, and does without od, readlink and getcap if they are missing.
set -eu

libdir='@LIBDIR@'   # `make install` fills these in
libexecdir='@LIBEXECDIR@'
datadir='@DATADIR@'
version='@VERSION@'

usage() {
    cat <<'USAGE'
Usage: run-with-shim.sh [OPTIONS] [--] COMMAND [ARGUMENT...]
       run-with-shim.sh --pid PID [-j] [-s SECONDS]
       run-with-shim.sh --core CORE [-j] [--root DIR] [EXE]
       run-with-shim.sh --check [-j] COMMAND
       run-with-shim.sh --plot TIMELINE... >PAGE.html

Runs COMMAND with libgilshim.so preloaded, so that native Python modules that
mix CPython's GIL APIs neither deadlock nor die. It prints a summary on stderr
at exit. The exit status is COMMAND's.

  -m MODE     repair (default); observe: change nothing, report what would be
              repaired; strict: exit with status 66 at the first thing to
              repair; off: do nothing
  -v          report repairs on stderr, once per calling place; twice: more
  -q          print only fatal problems, and no summary
  -o FILE     write messages to FILE.PID instead of stderr (%p pid, %h host,
              %e program)
  -j, --json  messages as JSON, one object a line
  -t FILE     write a timeline of who holds the GIL and who waits, for --plot
              and ui.perfetto.dev
  -s SECONDS  report who holds the GIL when a thread has waited this long
              (5, 0.5)
  -c WHAT     check for GIL errors before they do damage: calls (Python's API
              called without the GIL), locks (locks that can deadlock with the
              GIL), or all
  -S FILE     leave out the messages that match a suppression in FILE
  -d          run COMMAND under gdb, and stop at the first message
  -p, --pid PID
              say why the running process PID hangs, without the shim in it:
              who holds the GIL and who waits for it. The process is neither
              stopped nor changed. -s: watch it for that long (0.3). Exit
              status 0: a hang at the GIL was found, 1: it does not hang at the
              GIL, 125: it can't be looked at
  --core CORE
              say the same of a process that has left a core file: why it hung,
              or why it died and whether the thread had the GIL. EXE: its
              program, if that is not where it was. Exit status as for --pid
  --root DIR  with --core: its program and libraries are below DIR
  --plot TIMELINE
              print a page for a browser that shows what -t has written, of one
              process or several: when each thread held the GIL and waited for
              it, and what was repaired. The page needs no network. A TIMELINE
              may be compressed (.gz)
  --check     don't run COMMAND, but say whether the shim can serve it, how,
              and with which repairs; exit status 0: it can, 1: it can't,
              3: that can't be known before COMMAND runs. -j: as JSON
  --options   list what can be set in GILSHIM_OPTIONS
  -h, --help
  --version   the version, commit and compiler

Options are added to those in GILSHIM_OPTIONS and override them. The last
of -q and -v wins. Exit status 125: wrong usage, or the shim itself is missing;
126: COMMAND can't be executed; 127: COMMAND not found. See also
`man run-with-shim.sh` (in the checkout: `man -l shim/dist/gilshim.1`).
USAGE
}

say() { printf 'run-with-shim.sh: %s\n' "$*" >&2; }
wrong_usage() {
    say "$*; see run-with-shim.sh -h"
    exit 125
}
have() { command -v "$1" >/dev/null 2>&1; }

# Prints " (did you mean NAME?)" with the name of $2, $3, ... that is nearest to $1, or that begins with it; nothing if none is
# near. A letter that is missing, too many, wrong or exchanged with its neighbour counts one, and gcc's limit holds: a third.
did_you_mean() {
    misspelt=$1
    shift
    misspelt=$misspelt names=$* LC_ALL=C awk '
        function least(a, b) { return a < b ? a : b }
        function distance(a, b, i, j, d, same) {
            for (i = 0; i <= length(a); i++) d[i, 0] = i
            for (j = 0; j <= length(b); j++) d[0, j] = j
            for (i = 1; i <= length(a); i++)
                for (j = 1; j <= length(b); j++) {
                    same = substr(a, i, 1) == substr(b, j, 1)
                    d[i, j] = least(least(d[i - 1, j], d[i, j - 1]) + 1, d[i - 1, j - 1] + !same)
                    if (i > 1 && j > 1 && substr(a, i - 1, 2) == substr(b, j, 1) substr(b, j - 1, 1))
                        d[i, j] = least(d[i, j], d[i - 2, j - 2] + 1)
                }
            return d[length(a), length(b)]
        }
        BEGIN {
            word = tolower(ENVIRON["misspelt"])
            sub(/^-+/, "", word)
            if (length(word) < 2 || length(word) > 24) exit
            count = split(ENVIRON["names"], names, " ")
            for (k = 1; k <= count; k++) {
                name = names[k]
                sub(/^-+/, "", name)
                longer = length(word) > length(name) ? length(word) : length(name)
                shorter = length(word) + length(name) - longer
                allowed = int((longer + (longer - shorter > 1 ? 2 : 0)) / 3)
                off = length(word) > 2 && index(name, word) == 1 ? 0 : distance(word, name)
                if (off <= (allowed ? allowed : 1) && (best == "" || off < nearest)) { best = names[k]; nearest = off }
            }
            if (best != "") printf " (did you mean %s?)", best
        }' 2>/dev/null || :
}
# Prints all long options, from the text of -h.
long_options() { usage | sed -n 's/^  \(-[a-zA-Z], \)\{0,1\}\(--[a-z]*\).*/\2/p'; }
# The same for a word that is a long option, but for its dashes: -pid, or check as the command.
did_you_mean_option() {
    for long in $(long_options); do
        case $1 in "${long#-}" | "${long#--}") printf ' (did you mean %s?)' "$long" ;; esac
    done
}

resolved() { readlink -f -- "$1" 2>/dev/null || printf '%s\n' "$1"; }

# ---- finding the library

self=$(resolved "$0")
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P)
case $version in @*) version=$(sed -n 's/^#define GILSHIM_VERSION "\(.*\)"$/\1/p' "$here/shim/version.h" 2>/dev/null) || : ;; esac

find_library() {
    library=''
    for place in "$here" "$here/build" "$here/../lib" "$libdir"; do # yash reserves the name
        [ -e "$place/libgilshim.so" ] || continue
        library=$(resolved "$place/libgilshim.so")
        # ld.so would split such a name into several, ignore them all, and run the program without the shim.
        case $library in
        *[[:space:]:]*) say "can't preload '$library': ld.so splits a path with a blank or a colon; move libgilshim.so to a path without" ;;
        *'$'*) say "can't preload '$library': move libgilshim.so to a path without \"\$\"" ;;
        *)
            [ ! -r "$library" ] || return 0
            say "can't read $library: permission denied"
            ;;
        esac
        return 1
    done
    say "no libgilshim.so beside $self, in $here/build or in $here/../lib: build it with make"
    return 1
}

# Replaces the wrapper by the program that looks at the process $1, or at the core file of "--core FILE".
look_at() {
    for place in "$here" "$here/build" "$here/../libexec/gilshim" "$libexecdir/gilshim"; do
        [ ! -f "$place/gilshim-inspect" ] || exec "$place/gilshim-inspect" ${json:+-j} ${seconds:+-s "$seconds"} ${1+"$@"}
    done
    say "no gilshim-inspect beside $self, in $here/build or in $here/../libexec/gilshim: build it with make"
    exit 125
}

# Sets $preload to the LD_PRELOAD to use: our library, once, in front of the existing entries but behind the sanitizers'
# runtimes. These refuse to start unless they come first, so the one that $executable is linked to must be preloaded too.
# $without is the same without our library.
list_preload() {
    sanitizers='' others='' runtime=''
    if [ -z "$why_not" ] && LC_ALL=C grep -q 'lib[at]san\.so' "$executable" 2>/dev/null; then
        runtime=$(LD_PRELOAD='' LD_TRACE_LOADED_OBJECTS=1 "$executable" 2>/dev/null </dev/null |
            sed -n 's|.*lib[at]san\.so.* => \(/[^ :]*\) .*|\1|p' | head -n 1)
        [ -z "$runtime" ] || sanitizers=$runtime:
    fi
    old_ifs=$IFS
    IFS=' :'
    set -f
    # shellcheck disable=SC2086 # split on purpose
    set -- ${LD_PRELOAD:-}
    set +f
    IFS=$old_ifs
    for entry in ${1+"$@"}; do # posh treats an empty "$@" as unset
        case $entry in
        '' | "$runtime") ;;
        *libasan.so* | *libtsan.so* | *libhwasan.so* | *libclang_rt.*san*) sanitizers=$sanitizers$entry: ;;
        *) [ "$(resolved "$entry")" = "$library" ] || others=$others:$entry ;;
        esac
    done
    preload=$sanitizers$library$others
    without=$sanitizers${others#:}
}

# ---- knowing the program

# Sets $file to the file in PATH that would be executed for the name $1, or to one that is not executable if there is no other.
look_up() {
    file=''
    rest=${PATH:-/usr/bin:/bin}:
    while [ -n "$rest" ]; do
        directory=${rest%%:*}
        rest=${rest#*:}
        [ -f "${directory:-.}/$1" ] || continue
        [ -x "${directory:-.}/$1" ] && file=${directory:-.}/$1 && return 0
        file=${file:-${directory:-.}/$1}
    done
    return 1
}

# Sets $program to the file that would be executed for the command $1. Exits with 126 or 127 as a shell would.
find_program() {
    file=$1
    case $1 in */*) ;; *) look_up "$1" || : ;; esac
    program=$file
    if [ -z "$program" ] || [ ! -e "$program" ]; then
        say "$1: command not found$(did_you_mean_option "$1")"
        exit 127
    elif [ -d "$program" ]; then
        say "$program: is a directory"
        exit 126
    elif [ ! -x "$program" ]; then
        say "$program: is not executable"
        exit 126
    fi
}

# Sets $interpreter and $argument as the kernel reads them from the `#!` line of the script $1, or to /bin/sh if it has none,
# because a shell then runs it. Fails if $1 is not a script.
read_first_line() {
    [ -r "$1" ] || return 1
    first=''
    { IFS= read -r first <"$1"; } 2>/dev/null || :
    case $first in
    "$elf_magic"*) return 1 ;;
    '#!'*) ;;
    *) first='#!/bin/sh' ;;
    esac
    first=${first#'#!'}
    first=${first#"${first%%[! 	]*}"}
    interpreter=${first%%[ 	]*}
    argument=${first#"$interpreter"}
    argument=${argument#"${argument%%[! 	]*}"}
    argument=${argument%"${argument##*[! 	]}"}
    [ -n "$interpreter" ]
}
elf_magic=$(printf '\177ELF')

# Sets $executable to the ELF file that finally runs for $program with these arguments, through `#!` lines and env(1), and
# $way to a description of how it gets there.
find_executable() {
    executable=$program
    script='' way='' stripped=''
    depth=0
    while [ $depth -lt 8 ]; do
        depth=$((depth + 1))
        if read_first_line "$executable"; then
            script=$executable
            executable=$interpreter
            set -f
            # shellcheck disable=SC2086 # env splits it, with -S; others don't read it here
            set -- $argument "$script" ${1+"$@"}
            set +f
        elif [ "${executable##*/}" = env ]; then
            while [ $# -gt 0 ]; do
                case $1 in
                -i | - | --ignore-environment) stripped='env -i' ;;
                -u | --unset)
                    [ $# -lt 2 ] || shift
                    [ "$1" != LD_PRELOAD ] || stripped='env -u LD_PRELOAD'
                    ;;
                -uLD_PRELOAD | --unset=LD_PRELOAD) stripped='env -u LD_PRELOAD' ;;
                LD_PRELOAD=*) stripped='LD_PRELOAD= behind env' ;;
                -C | --chdir) [ $# -lt 2 ] || shift ;;
                -* | *=*) ;;
                *) break ;;
                esac
                shift
            done
            [ $# -gt 0 ] || break
            case $1 in */*) file=$1 ;; *) look_up "$1" || file=${file:-$1} ;; esac
            executable=$file
            [ -n "$script" ] || way=", which starts $executable"
            shift
        else
            break
        fi
    done
    [ -z "$script" ] || way="$way (a script, run by $executable)"
}

# Prints $3 bytes of file $1 from offset $2 as decimal numbers.
bytes() { od -An -v -tu1 -j "$2" -N "$3" -- "$1" 2>/dev/null; }

# Sets $class and $machine of the ELF file $1. Both are empty if it is not an ELF file, or if od is missing.
elf_kind() {
    class='' machine=''
    # shellcheck disable=SC2046
    set -- $(bytes "$1" 0 20)
    [ $# -eq 20 ] && [ "$1 $2 $3 $4" = '127 69 76 70' ] || return 0
    class=$5
    machine=$((${19} + 256 * ${20}))
}

# Prints the program interpreter (PT_INTERP) that the 64-bit ELF file $1 names. Fails if it names none.
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

# Prints why the shim does not reach the program that the command $name starts with these arguments, or nothing if it does.
lost_on_the_way() {
    if [ -n "$stripped" ]; then
        echo "$stripped takes the shim out of the environment; put run-with-shim.sh behind it, in front of the program"
        return
    fi
    case ${executable##*/} in
    sudo | sudo-rs | doas | pkexec)
        echo "${executable##*/} starts its command without LD_PRELOAD; use ${executable##*/} run-with-shim.sh COMMAND"
        ;;
    su | runuser)
        for word in ${1+"$@"}; do
            case $word in - | -l | --login)
                echo "${executable##*/} $word starts its command without LD_PRELOAD; put run-with-shim.sh into that command"
                return
                ;;
            esac
        done
        ;;
    systemd-run | machinectl | docker | podman | ssh)
        echo "${executable##*/} has its command started elsewhere, without the shim; put run-with-shim.sh into that command"
        ;;
    esac
}

# Prints why the shim can't help $executable, or nothing if no reason is known.
obstacle() {
    lost=$(lost_on_the_way ${1+"$@"})
    [ -z "$lost" ] || { echo "$lost" && return; }
    real=$(resolved "$executable")

    # ld.so ignores LD_PRELOAD if the kernel gives the program other rights than its caller's.
    # shellcheck disable=SC2012 # one known file, and POSIX has no stat
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

    # The loader itself, run as a command, has no interpreter and does preload.
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

# Sets $started to the first existing Python that the text of the shell script $1 names. Fails if there is none.
named_python() {
    words=$(sed 's/^[[:space:]]*#.*//' "$1" 2>/dev/null | LC_ALL=C grep -Eaow '[A-Za-z0-9_./+@%-]*python[0-9.]*(-dbg|d|t)?') || :
    for word in $words; do
        case $word in */*) started=$word ;; *) if look_up "$word"; then started=$file; else continue; fi ;; esac
        if [ -f "$started" ] && [ -x "$started" ] && [ "$(resolved "$started")" != "$(resolved "$1")" ]; then
            return 0
        fi
    done
    return 1
}

# Succeeds if the shell script $1 activates a virtualenv. Sets $started to its Python if the script has its whole path.
names_virtualenv() {
    started=''
    activate=$(sed 's/^[[:space:]]*#.*//' "$1" 2>/dev/null | LC_ALL=C grep -Eao '[^[:space:]"]*bin/activate' | head -n 1) || :
    [ -n "$activate" ] || return 1
    [ ! -x "${activate%activate}python" ] || started=${activate%activate}python
}

# Succeeds if $real, or a library of its own, calls a function that starts programs or opens libraries. (Such a call may be
# rare: sort starts the program that compresses its temporary files.)
may_get_python() {
    own=$(printf '%s\n' "$loaded" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | grep -v -e '^/lib' -e '^/usr/lib' -e libgilshim) || :
    result=0
    # shellcheck disable=SC2086 # no library with a blank in its path
    LC_ALL=C grep -azqxE 'exec[lv]p?e?|execvpe|fexecve|execveat|posix_spawnp?|dlm?open|system|popen' "$real" $own 2>/dev/null || result=$?
    [ $result -ne 1 ] # a grep without -z does not know
}

# Prints $1 as a JSON string. A byte that is not of UTF-8 is replaced, as the library does it.
json_string() {
    text=$1 LC_ALL=C awk '
        BEGIN {
            for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i
            text = ENVIRON["text"]
            end = length(text)
            for (at = 1; at <= end; at += size) {
                c = substr(text, at, 1)
                n = code[c]
                next_one = code[substr(text, at + 1, 1)]
                size = n < 128 ? 1 : n < 194 ? 0 : n < 224 ? 2 : n < 240 ? 3 : n < 245 ? 4 : 0
                for (i = 1; i < size; i++) if (int(code[substr(text, at + i, 1)] / 64) != 2) size = 0
                if (n == 224 && next_one < 160 || n == 240 && next_one < 144) size = 0 # longer than need be
                if (n == 237 && next_one > 159 || n == 244 && next_one > 143) size = 0 # a surrogate, or beyond Unicode
                if (!size) { out = out "\\ufffd"; size = 1 }
                else if (c == "\"" || c == "\\") out = out "\\" c
                else if (n < 32 || n == 127) out = out sprintf("\\u%04x", n)
                else out = out substr(text, at, size)
            }
            printf "\"%s\"", out
        }'
}

# Prints a line of what was found. As JSON only the conclusion is printed.
tell() { [ -n "$json" ] || printf 'gilshim: %s\n' "$*"; }
# Ends --check with status $2. As text prints $4, if there is one; as JSON the object, with $1 as "served" and $3 as "reason". It
# goes on with what the library has found, $answer, which begins with a reason of its own.
conclude() {
    [ -z "$json" ] || {
        found='{"type": "check", "reason": null}'
        case $answer in '{'*) found=$answer ;; esac
        found=${found#'{"type": "check", "reason": '}
        reason=null
        case $found in null*) ;; *) reason=$(printf '%s\n' "$found" | LC_ALL=C sed -E 's/^("([^"\\]|\\.)*").*/\1/') ;; esac
        found=${found#"$reason"}
        [ -z "$3" ] || reason=$(json_string "$3")
        printf '{"type": "check", "program": %s, "starts": null, "executable": %s, "served": "%s", "reason": %s%s\n' \
            "$(json_string "$program")" "$(json_string "$executable")" "$1" "$reason" "$found"
        exit "$2"
    }
    [ -z "${4:-}" ] || tell "$4"
    exit "$2"
}
cannot_know() {
    reason=${1:-'there is no CPython in it, but it can start programs or open a libpython, and those are served'}
    tell "can't be known before it runs: $reason"
    [ -n "${1:-}" ] || tell 'check the program that it starts: run-with-shim.sh --check PROGRAM'
    conclude unknown 3 "$reason"
}
cannot() { conclude no 1 "$*" "can't be served: $*"; }

# Says what the library, preloaded by $1, finds in $executable. Sets $answer to what it prints, $status, and $found to CPython or
# none, or to nothing if the library was not heard.
ask() {
    status=0 found=''
    answer=$(LD_PRELOAD=$1 GILSHIM_OPTIONS=check=1${json:+:log_format=json} "$executable" </dev/null 2>&1) || status=$?
    # An interpreter that is started may print something, too, and not end its line.
    [ -z "$json" ] || answer=$(printf '%s\n' "$answer" | LC_ALL=C sed -n 's/^.*\({"type": "check", "reason"\)/\1/p' | head -n 1)
    case $answer in
    *'gilshim: interpreter: CPython'* | *', "python": "'*) found=CPython ;;
    *'gilshim: '* | '{'*) found=none ;;
    esac
}
# Prints the library's $answer, as text.
repeat() { [ -n "$json" ] || printf '%s\n' "$answer"; }
served_as_found() { if [ "$status" = 0 ]; then conclude yes 0 "${1:-}"; else conclude no "$status" ''; fi; }

# Goes on with $started, which the script names by $1.
go_on_with_started() {
    [ -n "$json" ] || {
        tell "the script $1 $started: if it starts that, it is served there as follows"
        exec "$self" --check -- "$started"
    }
    status=0
    answer=$("$self" --check --json -- "$started") || status=$?
    [ -n "$answer" ] || exit "$status"
    printf '%s\n' "$answer" | beginning="{\"type\": \"check\", \"program\": $(json_string "$program"), \"starts\": $(json_string "$started"), " \
        LC_ALL=C awk '{ print ENVIRON["beginning"] substr($0, index($0, "\"executable\": ")) }'
    exit "$status"
}

check() {
    [ -z "$json" ] || have awk || {
        say '--check -j needs awk, which is not installed'
        exit 125
    }
    answer=''
    tell "program: $program$way"
    [ -z "$why_not" ] || cannot "$why_not"
    [ -z "$script" ] || [ -e "$executable" ] || cannot "its interpreter $executable does not exist"
    [ -r "$executable" ] || cannot "$executable can't be read"
    real=$(resolved "$executable")
    # As ldd does, ask ld.so what it would load, before any code of the program runs.
    list_preload
    loaded=$(LD_TRACE_LOADED_OBJECTS=1 LD_PRELOAD=$preload "$executable" 2>&1 </dev/null) || :
    case $loaded in *libgilshim.so*) ;; *) cannot "the loader did not take the shim: $(printf '%s\n' "$loaded" | head -n 1)" ;; esac
    case $loaded in *libpypy*) cannot 'it is PyPy, which has a GIL of its own making: the shim is for CPython' ;; esac

    # Now run it: with check=1 the library reports what it found, and ends the process before the program's main().
    ask "$preload"
    case $found in
    CPython) repeat && served_as_found ;;
    '') repeat && cannot 'the library said nothing' ;;
    esac

    case $loaded in
    *libpython[23]*.so*) cannot "the libpython that it is linked to does not export CPython's GIL API: $(printf '%s\n' "$loaded" | sed -n 's/^[ 	]*\(libpython[^ ]* => [^ ]*\).*/\1/p')" ;;
    esac
    if LC_ALL=C grep -q 'Fatal Python error' -- "$real" 2>/dev/null; then
        cannot "CPython seems to be linked into it, but it does not export CPython's GIL API: nothing can get in front of that"
    fi

    # A program that opens libpython later contains its name.
    late=$(LC_ALL=C grep -ao 'libpython[0-9.]*[a-z]*\.so[.0-9]*' -- "$real" 2>/dev/null | head -n 1) || :
    if [ -n "$late" ]; then
        before=$answer
        ask "$preload:$late"
        if [ "$found" = CPython ]; then
            tell "it names $late: if it opens that later, it is served from then on, as follows"
            repeat
            served_as_found "it names $late: if it opens that later, it is served from then on"
        fi
        answer=$before
    fi
    repeat
    if [ -n "$late" ] || LC_ALL=C grep -q libpython -- "$real" 2>/dev/null; then
        late='it names libpython: if it opens that later, it is served from then on'
        conclude yes 0 "$late" "$late"
    fi
    # A shell has no CPython, but may start one.
    case $script-${real##*/} in
    -*) ;;
    *-sh | *-dash | *-bash | *-ksh* | *-zsh* | *-busybox)
        if LC_ALL=C grep -q 'pyenv" exec ' -- "$script" 2>/dev/null; then
            cannot_know "it is a shim of pyenv's; check what \`pyenv which ${script##*/}\` prints"
        elif names_virtualenv "$script"; then
            [ -n "$started" ] || cannot_know
            go_on_with_started 'activates the virtualenv of'
        elif named_python "$script"; then
            go_on_with_started names
        fi
        cannot_know
        ;;
    esac
    case ${real##*/} in
    env) ;; # without a command
    *) ! may_get_python || cannot_know ;;
    esac
    nothing='there is no CPython in it, and it starts no other program'
    conclude nothing 1 "$nothing" "nothing to serve: $nothing"
}

# ---- -d

# Prints $1 quoted for a shell.
quoted() { printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"; }

# Runs $program with these arguments under gdb. gdb starts it through a shell, which passes the arguments on unchanged.
# Neither the shell nor gdb itself, which has a CPython of its own, gets the shim.
debug() {
    have gdb || {
        say '-d needs gdb, which is not installed'
        exit 127
    }
    # gdb does not know `#!` lines, so a script is started here as the kernel would do it.
    depth=0
    while [ $depth -lt 8 ] && read_first_line "$program"; do
        set -- ${argument:+"$argument"} "$program" ${1+"$@"}
        program=$interpreter
        depth=$((depth + 1))
    done
    # env takes options only in front of the variables.
    if [ -n "${SHELL:-}" ]; then start="env SHELL=$(quoted "$SHELL")"; else start='env -u SHELL'; fi
    start="$start LD_PRELOAD=$(quoted "$preload")"
    if [ -n "$without" ]; then export LD_PRELOAD="$without"; else unset LD_PRELOAD; fi
    export SHELL=/bin/sh # not the user's shell, which may be of any kind
    set -f
    # shellcheck disable=SC2086 # GILSHIM_GDB_ARGS is split on purpose
    exec gdb -q -return-child-result -ex "set exec-wrapper $start" -ex 'set startup-with-shell on' \
        -ex 'set breakpoint pending on' -ex 'break gilshim_first_report' -ex run ${GILSHIM_GDB_ARGS:-} --args "$program" ${1+"$@"}
}

# ---- --plot

# Prints the TIMELINE $1.
unpacked() { case $1 in *.gz) gzip -dc -- "$1" ;; *) cat -- "$1" ;; esac; }

# Prints the pid that the TIMELINE $1 begins with, and nothing if it has no events. Fails if it is not a timeline.
pid_in() {
    case $1 in *.gz) have gzip || wrong_usage "--plot $1: gzip is not installed" ;; esac
    beginning=$(unpacked "$1" 2>/dev/null | LC_ALL=C tr -d '\000' | head -c 200 | head -n 2) || return 1
    case $beginning in
    '[') ;;
    '[
{"ph":"'[MXi]'","pid":'[1-9]*,*) printf '%s\n' "$beginning" | sed -n '2s/^{"ph":".","pid":\([0-9]*\),.*/\1/p' ;;
    *) return 1 ;;
    esac
}

# Sets $older to the file with the older half of the TIMELINE $1, which is of the process $2, or to nothing if there is none.
find_older() {
    older=''
    for other in "${1%.gz}.1" "${1%.gz}.1.gz"; do
        [ -z "$2" ] || [ -n "$older" ] || [ ! -f "$other" ] || [ ! -r "$other" ] || [ "$(pid_in "$other")" != "$2" ] || older=$other
    done
}

# Succeeds if the TIMELINE $1 is the older half of one of the others: `t.*` names both.
is_older_half() {
    half=$1
    shift
    case ${half%.gz} in *.1) ;; *) return 1 ;; esac
    for whole in "$@"; do
        [ "${half%.gz}" = "${whole%.gz}.1" ] || continue
        find_older "$whole" "$(pid_in "$whole")"
        [ "$older" != "$half" ] || return 0
    done
    return 1
}

# Prints the TIMELINE $1 as a part of the page, as that of process number $2. It is data in a script element, in pieces, each
# followed by the call that reads it. Without a "<" nothing in it can end that element: the names of libraries and threads may
# be anything.
print_pieces() {
    name=$(printf '%s\n' "${1##*/}" | sed 's/&/\&amp;/g; s/"/\&quot;/g; s/</\&lt;/g')
    unpacked "$1" | LC_ALL=C sed 's/</\\u003c/g' |
        begin="<script type=\"application/json\" data-process=\"$2\" data-name=\"$name\">" LC_ALL=C awk '
            NR % 20000 == 1 { if (NR > 1) print end; else end = "</script><script>eat();</script>"; print ENVIRON["begin"] }
            { print }
            END { if (NR) print end }'
}

print_page() {
    sed '/^<!--timelines-->$/,$d' "$page" || return
    number=0
    for timeline in "$@"; do
        ! is_older_half "$timeline" "$@" || continue
        find_older "$timeline" "$(pid_in "$timeline")"
        [ -z "$older" ] || print_pieces "$older" $number || return
        print_pieces "$timeline" $number || return
        number=$((number + 1))
    done
    sed '1,/^<!--timelines-->$/d' "$page"
}

# Prints the page for these TIMELINEs.
plot() {
    page=''
    for place in "$here" "$here/build" "$here/../share/gilshim" "$datadir/gilshim"; do
        [ -n "$page" ] || [ ! -f "$place/plot.html" ] || page=$place/plot.html
    done
    [ -n "$page" ] || {
        say "no plot.html beside $self, in $here/build or in $here/../share/gilshim: build it with make"
        exit 125
    }
    [ ! -t 1 ] || wrong_usage '--plot prints a page: send it to a file, as in --plot TIMELINE >page.html'
    for timeline in "$@"; do
        [ -e "$timeline" ] || wrong_usage "--plot $timeline: there is no such file"
        [ ! -d "$timeline" ] || wrong_usage "--plot $timeline: is a folder"
        [ -f "$timeline" ] || wrong_usage "--plot $timeline: is not a regular file"
        [ -r "$timeline" ] || wrong_usage "--plot $timeline: permission denied"
        pid_in "$timeline" >/dev/null || wrong_usage "--plot $timeline: is not a timeline, as -t FILE writes it into FILE.PID"
    done
    print_page "$@" && exit 0
    say "can't write the page"
    exit 125
}

# ---- main

# The defaults go in front of the existing GILSHIM_OPTIONS, where later options win. Only processes with this same stderr
# print a summary, because some programs read the stderr of their children.
# shellcheck disable=SC2012 # one known file
{ inode=$(ls -Lid /proc/self/fd/3 2>/dev/null | sed 's/^ *\([0-9]*\) .*/@\1/') || :; } 3>&2 || inode=''
defaults=history=64:crash=1:summary=${inode:-1}
options=''
add_option() { options=${options:+$options:}$1; }

# Sets $file to the absolute path of the FILE $2 that option $1 was given. If $3 is set, FILE is a pattern (%p), and per cent signs
# in the name of the current folder are escaped.
find_path() {
    [ -n "$2" ] || wrong_usage "$1 needs the name of a file"
    case $2 in
    /*) file=$2 ;;
    *)
        folder=$(pwd 2>/dev/null) || folder=''
        [ -d "$folder" ] || wrong_usage "$1 $2: the current folder has been deleted"
        [ -z "${3:-}" ] || folder=$(printf '%s\n' "$folder" | sed 's/%/%%/g')
        file=$folder/$2
        ;;
    esac
    case $file in *:*) wrong_usage "$1 $file: a path with a colon can't be passed on in GILSHIM_OPTIONS" ;; esac
    [ ${#file} -lt 1000 ] || wrong_usage "$1 $file: the path is too long"
}
# The same for a FILE that is written: FILE.PID, one for each process, or a device.
find_output() {
    find_path "$1" "$2" pattern
    [ ! -d "$2" ] || wrong_usage "$1 $2: is a folder"
    case $2 in */) wrong_usage "$1 $2: there is no such folder" ;; esac
    case $file in
    *%p*) ;;
    /dev/shm/*) ;;
    /dev/* | /proc/* | /sys/*) [ -c "$file" ] || wrong_usage "$1 $2: there is no such device" ;;
    *) [ ! -e "$2" ] || [ -f "$2" ] || [ -c "$2" ] || wrong_usage "$1 $2: is neither a file nor a device" ;;
    esac
    [ ! -c "$2" ] || file=$(resolved "$file")
}
log_to() {
    case $1 in
    stderr | /dev/stderr | /dev/fd/2 | /proc/self/fd/2) file=stderr ;;
    stdout | /dev/stdout | /dev/fd/1 | /proc/self/fd/1) file=stdout ;;
    *) find_output -o "$1" ;;
    esac
    log=$file
    add_option "log_path=$file"
}
trace_to() {
    find_output -t "$1"
    trace=$file
    add_option "timeline=$file"
}
suppress_by() {
    find_path -S "$1"
    [ -e "$1" ] || wrong_usage "-S $1: there is no such file"
    [ ! -d "$1" ] || wrong_usage "-S $1: is a folder"
    [ -r "$1" ] || wrong_usage "-S $1: permission denied"
    add_option "suppressions=$file"
}
# Prints the name that the library gives to the FILE $1.
with_pid() { case $1 in *%p* | stderr | stdout) printf '%s\n' "$1" ;; *) printf '%s.%%p\n' "$1" ;; esac; }

# The library states its own version, its commit, and what built it, in its text.
show_version() {
    printf 'run-with-shim.sh (gilshim) %s\n' "${version:-unknown}"
    find_library || return 0
    printf '%s: %s\n' "$library" "$(LC_ALL=C grep -ao 'version [0-9.]* ([^()]*, glibc [0-9.]*)' -- "$library" 2>/dev/null || echo 'version unknown')"
}

# Says that the options in $given have no effect with $1 (a word of the command line), except for those in $2, $3, ...
say_useless() {
    reason=$1
    shift
    useless=''
    for option in $given; do
        case " $* $useless " in *" $option "*) ;; *) useless="${useless:+$useless }$option" ;; esac
    done
    [ -z "$useless" ] || say "$useless: no effect with $reason"
}

# Prints how to find the number of the process that goes by the name $1, if that looks like one.
how_to_find() { case $1 in '' | [!a-zA-Z]* | *[!a-zA-Z0-9._-]*) ;; *) printf '%s' "; \`pgrep -f $1\` lists those of that name" ;; esac; }

mode='' verbosity='' checking='' debugging='' listing='' given='' log='' trace='' pid='' core='' plot='' root='' json='' seconds=''
word='' rest=''
while [ $# -gt 0 ]; do
    # -vj means -v -j; -oFILE means -o FILE; --pid=PID means --pid PID. $word is as it was written: -vj, too, when -j is read.
    [ -n "$rest" ] || word=$1
    rest=''
    case $1 in
    --json)
        shift
        set -- -j ${1+"$@"}
        ;;
    --pid=* | --core=* | --plot=* | --root=*)
        letter=${1%%=*}
        value=${1#*=}
        shift
        set -- "$letter" "$value" ${1+"$@"}
        ;;
    -[dhjqv][!-]*)
        rest=1
        letter=${1%"${1#-?}"}
        cluster=-${1#-?}
        shift
        set -- "$letter" "$cluster" "$@"
        ;;
    -[cmopstS]?*)
        letter=${1%"${1#-?}"}
        value=${1#-?}
        shift
        set -- "$letter" "$value" "$@"
        ;;
    esac
    case $1 in -[cmopstS] | --pid | --core | --plot | --root)
        [ $# -ge 2 ] || case $1 in
        -c) wrong_usage '-c needs one of calls, locks and all' ;;
        -m) wrong_usage '-m needs a mode' ;;
        --core) wrong_usage "--core needs the name of a core file" ;;
        --plot) wrong_usage "--plot needs the name of a timeline" ;;
        --root) wrong_usage "--root needs the name of a folder" ;;
        -p | --pid) wrong_usage "$1 needs the number of a process" ;;
        -s) wrong_usage '-s needs a number of seconds, e.g. 5 or 0.5' ;;
        *) wrong_usage "$1 needs the name of a file" ;;
        esac
        ;;
    esac
    case $1 in -[cdjmoqstSv]) given="$given $1" ;; esac
    case $1 in
    -h | --help) usage && exit 0 ;;
    --version) show_version && exit 0 ;;
    --check) checking=1 ;;
    --options) listing=1 ;;
    -c)
        case $2 in
        calls | locks | all) add_option "check=$2" ;;
        *)
            meant=$(did_you_mean "$2" calls locks all)
            wrong_usage "-c $2: what can be checked is calls, locks and all${meant:-$(did_you_mean_option "$word")}"
            ;;
        esac
        shift
        ;;
    --core)
        [ -n "$2" ] || wrong_usage "--core needs the name of a core file"
        [ -z "$core" ] || wrong_usage "--core: one core file at a time"
        core=$2
        shift
        ;;
    -d) debugging=1 ;;
    -j)
        add_option log_format=json
        json=1
        ;;
    -m)
        mode=$2
        case $mode in
        repair | observe | strict | off) add_option "mode=$mode" ;;
        *) wrong_usage "-m $mode: the modes are repair, observe, strict and off$(did_you_mean "$mode" repair observe strict off)" ;;
        esac
        shift
        ;;
    -o)
        log_to "$2"
        shift
        ;;
    -p | --pid)
        case $2 in
        '' | *[!0-9]* | 0*) wrong_usage "$1 $2: $1 needs the number of a process$(did_you_mean_option "$word")$(how_to_find "$2")" ;;
        esac
        [ -z "$pid" ] || wrong_usage "$1: one process at a time"
        pid=$2
        shift
        ;;
    --plot)
        [ -n "$2" ] || wrong_usage "--plot needs the name of a timeline"
        [ -z "$plot" ] || wrong_usage "--plot: give it once, before all the timelines"
        plot=$2
        shift
        ;;
    -q) verbosity=0 ;;
    --root)
        root=$2
        shift
        ;;
    -s)
        case $2 in
        '' | *[!0-9.]* | *.*.* | .* | *. | *.????* | 0[0-9]* | ????????*) number='' ;;
        *[1-9]*) number=$2 ;; # not 0, which means never
        *) number='' ;;
        esac
        [ -n "$number" ] || wrong_usage "-s $2: -s needs a number of seconds, e.g. 5 or 0.5"
        add_option "stall=$number"
        seconds=$number
        shift
        ;;
    -S)
        suppress_by "$2"
        shift
        ;;
    -t)
        trace_to "$2"
        shift
        ;;
    -v) case $verbosity in 1 | 2) verbosity=2 ;; *) verbosity=1 ;; esac ;;
    --)
        shift
        break
        ;;
    -*)
        # shellcheck disable=SC2046 # one name each
        wrong_usage "unknown option $1$(did_you_mean "$word" $(long_options))"
        ;;
    *) break ;;
    esac
    shift
done
if [ -n "$listing" ]; then
    say_useless --options
    find_library || exit 125
    LD_PRELOAD=$library GILSHIM_OPTIONS=check=1:help=1 exec /bin/sh -c :
fi
[ -n "$core" ] || [ -z "$root" ] || wrong_usage "--root is for --core"
if [ -n "$plot" ]; then
    [ -z "$core$pid" ] || wrong_usage "--plot, --core and --pid: one of them at a time"
    say_useless --plot
    plot "$plot" ${1+"$@"}
fi
if [ -n "$core" ]; then
    [ -z "$pid" ] || wrong_usage "--core and --pid: one of them at a time"
    [ $# -le 1 ] || wrong_usage "--core: one program at a time"
    say_useless --core -j
    # A name that begins with a dash is a file, too.
    case $core in -*) core=./$core ;; esac
    case ${1:-} in -*) set -- "./$1" ;; esac
    seconds=''
    look_at ${root:+--root "$root"} --core "$core" ${1+"$@"}
fi
if [ -n "$pid" ]; then
    case ${1:-} in
    '') ;;
    *[!0-9]*) wrong_usage "--pid looks at a process that runs already: there is no command to run" ;;
    *) wrong_usage "--pid: one process at a time" ;; # $(pgrep -f NAME) may be several
    esac
    say_useless --pid -j -s
    look_at "$pid"
fi
[ $# -gt 0 ] || wrong_usage 'no command given'
if [ -n "$trace" ] && [ ! -c "$trace" ] && [ "$(with_pid "$log")" = "$(with_pid "$trace")" ]; then
    wrong_usage "-o and -t name the same file"
fi
case ${mode:-:${GILSHIM_OPTIONS:-}:} in
off | *:mode=off:) off=1 ;;
*:mode=off:*) case ${GILSHIM_OPTIONS##*:mode=off:} in *mode=*) off='' ;; *) off=1 ;; esac ;;
*) off='' ;;
esac
if [ -n "$checking" ]; then
    say_useless --check -j
elif [ -n "$off" ]; then
    say_useless '-m off' -m -q
fi

find_library || exit 125
find_program "$1"
name=$1
shift
find_executable ${1+"$@"}
if [ -z "$checking" ] && [ -n "$script" ] && [ "$script" = "$program" ] && [ ! -e "$executable" ]; then
    say "$program: its interpreter $executable does not exist"
    exit 127
fi
why_not=$(obstacle ${1+"$@"})
[ -z "$checking" ] || check
case $why_not in
'') ;;
# If glibc's loader can't preload a library, it warns or is silent; musl's ends the program.
*musl*) say "the shim can't help $executable: $why_not; running it without" ;;
*) say "the shim can't help $executable: $why_not; running it all the same" ;;
esac

case $verbosity in
'') ;;
0) add_option verbosity=0:summary=0 ;;
*) add_option "verbosity=$verbosity" ;;
esac
# observe and strict are for reports, and under gdb only a report stops the program.
case $debugging:$mode in 1:* | *:observe | *:strict) defaults=$defaults:verbosity=1 ;; esac
case ${GILSHIM_OPTIONS:-}: in
"$defaults":*) ;;
*) GILSHIM_OPTIONS=$defaults${GILSHIM_OPTIONS:+:$GILSHIM_OPTIONS} ;;
esac
GILSHIM_OPTIONS=$GILSHIM_OPTIONS${options:+:$options}
export GILSHIM_OPTIONS
list_preload
[ -z "$debugging" ] || debug ${1+"$@"}

case $why_not in
*musl*) ;;
*) LD_PRELOAD=$preload && export LD_PRELOAD ;;
esac
# An exec without option parsing can't take `--`, so a command that looks like an option is replaced by its path.
case $name in -*) name=$program ;; esac
exec "$name" ${1+"$@"}
