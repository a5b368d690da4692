# The options of run-with-shim.sh: what each one puts into GILSHIM_OPTIONS and LD_PRELOAD, and what is wrong usage.

# shellcheck disable=SC2030,SC2031 # each test has its own
load helpers
load wrapper

setup() {
    wrapper=$ROOT/run-with-shim.sh
    library=$(readlink -f "$GILSHIM_LIB")
    cd "$BATS_TEST_TMPDIR" || return
}

# Runs the wrapper with these options, and GILSHIM_OPTIONS=$before if that is set; it must give $1 to the program.
gives() {
    local expected=$1
    shift
    limited 30 env -u GILSHIM_OPTIONS ${before+GILSHIM_OPTIONS="$before"} "$wrapper" "$@" printenv GILSHIM_OPTIONS
    is_status 0
    # Which file stderr is, is another test's business.
    [[ $output =~ ^history=64:crash=1:summary=@[1-9][0-9]* ]] && output=history=64:crash=1:summary=@${output#"${BASH_REMATCH[0]}"}
    [ "$output" = "$expected" ] || told "$*: expected $expected"
}
own=history=64:crash=1:summary=@

# ---- usage

@test "wrong usage: 125, and says what" {
    wrapped
    is_status 125
    has_line "run-with-shim.sh: no command given*"
    wrapped --
    is_status 125
    has_line "run-with-shim.sh: no command given*"
    local option
    for option in -x -vx -xv --frob --checks -9 -; do
        wrapped $option true
        is_status 125
        has_line "run-with-shim.sh: unknown option *"
    done
    for option in -c -m -o -t -s -S -vo; do
        wrapped $option
        is_status 125
        has_line "run-with-shim.sh: -[cmotsS] needs *"
    done
}

# misspelt EXPECTED WORD...: the one line ends with this question, or with none if EXPECTED is empty.
misspelt() {
    local question=${1:+ (did you mean $1?)}
    shift
    wrapped "$@"
    is_status 125
    [[ $output = "run-with-shim.sh: "*"$question; see run-with-shim.sh -h" && ${#lines[@]} -eq 1 ]] || told "$* is not told of $question"
    [[ -n $question || $output != *'did you mean'* ]] || told "$* is told of something"
}

@test "what is misspelt: the nearest option, mode or check is named, if one is near" {
    local option length
    # Each long option, with a letter less, or two exchanged, and its beginning.
    for option in $("$wrapper" -h | sed -n 's/^  \(-., \)*--\([a-z]*\).*/\2/p'); do
        length=${#option}
        misspelt "--$option" "--${option:0:1}${option:2}" touch ran
        misspelt "--$option" "--${option:0:length-2}${option:length-1:1}${option:length-2:1}" touch ran
        misspelt "--$option" "--${option}s" touch ran
        misspelt "--$option" "--${option^^}" touch ran
        [ "$length" -lt 5 ] || misspelt "--$option" "--${option:0:3}" touch ran
    done
    misspelt --pid --pidd 1
    misspelt calls -c cals touch ran
    misspelt calls -vc Calls touch ran
    misspelt observe -m observer touch ran
    misspelt strict -mstric touch ran
    # One dash for two.
    wrapped -pid 1
    is_status 125
    has_line "run-with-shim.sh: -p id: *(did you mean --pid?)*; see run-with-shim.sh -h"
    misspelt --check -check touch ran
    misspelt --core -core touch ran
    misspelt --version -version
    misspelt --root -root . touch ran
    for option in --frob -x -9 - --c --mode --checklist "--$(printf '%05000d' 1)" $'--a\nb\n' '--*' '--$(touch ran)' '--"'; do
        wrapped "$option" touch ran
        is_status 125
        [[ $output = "run-with-shim.sh: unknown option $option; see run-with-shim.sh -h" ]] || told "$option"
    done
    misspelt '' -c frob touch ran
    misspelt '' -m '' touch ran
    misspelt '' -m repair:verbosity=2 touch ran
    [ ! -e ran ]
    # Without dashes it is a command, and is looked for.
    wrapped pid 1
    is_status 127
    [ "$output" = "run-with-shim.sh: pid: command not found (did you mean --pid?)" ]
    wrapped no-such-program
    [ "$output" = "run-with-shim.sh: no-such-program: command not found" ]
    # Without awk nothing is asked, and all else is as ever.
    mkdir bin
    local program
    for program in sh dirname readlink cat sed ls; do ln -s "$(type -P $program)" bin/; done
    limited 30 env PATH="$PWD/bin" /bin/sh "$wrapper" --chek
    is_status 125
    [ "$output" = "run-with-shim.sh: unknown option --chek; see run-with-shim.sh -h" ]
}

@test "a wrong mode, number or file: 125, and nothing is run" {
    local mode number
    for mode in '' frob Repair repair:verbosity=2 'repair '; do
        wrapped -m "$mode" touch ran
        is_status 125
        has_line "run-with-shim.sh: -m $mode: the modes are *"
    done
    for number in '' 0 00 0.0 0.000 05 x 5x -1 1. .5 1.2345 1.2.3 ' 5' 5:mode=off 12345678; do
        wrapped -s "$number" touch ran
        is_status 125
        has_line "run-with-shim.sh: -s $number: -s needs a number of seconds, e.g. 5 or 0.5*"
    done
    for mode in '' frob 1 0 Calls calls,locks calls:mode=off; do
        wrapped -c "$mode" touch ran
        is_status 125
        has_line "run-with-shim.sh: -c $mode: what can be checked is calls, locks and all*"
    done
    mkdir folder
    wrapped -S nothing touch ran
    is_status 125
    has_line "run-with-shim.sh: -S nothing: there is no such file;*"
    wrapped -S folder touch ran
    is_status 125
    has_line "run-with-shim.sh: -S folder: is a folder;*"
    wrapped -S '' touch ran
    is_status 125
    has_line "run-with-shim.sh: -S needs the name of a file*"
    [ ! -e ran ]
}

# What would become a file in an odd place, or none.
@test "-o and -t: a folder, a FIFO, a device that there is not, a folder that is gone, the same file: 125, and nothing is run" {
    mkdir folder gone
    mkfifo fifo
    local option
    for option in -o -t; do
        wrapped $option folder touch ran
        is_status 125
        has_line "run-with-shim.sh: $option folder: is a folder;*"
        wrapped $option /tmp touch ran
        has_line "run-with-shim.sh: $option /tmp: is a folder;*"
        wrapped $option nothing/ touch ran
        has_line "run-with-shim.sh: $option nothing/: there is no such folder;*"
        wrapped $option fifo touch ran
        has_line "run-with-shim.sh: $option fifo: is neither a file nor a device;*"
        wrapped $option /dev/nul touch ran
        is_status 125
        has_line "run-with-shim.sh: $option /dev/nul: there is no such device;*"
        limited 30 sh -c 'cd gone && rmdir ../gone && "$1" "$2" log touch ../ran; status=$?; mkdir ../gone; exit $status' - "$wrapper" $option
        is_status 125
        has_line "run-with-shim.sh: $option log: the current folder has been deleted;*"
    done
    local pair
    for pair in 'x x' 'x x.%p' 'x.%p x'; do
        wrapped -o "${pair% *}" -t "${pair#* }" touch ran
        is_status 125
        has_line "run-with-shim.sh: -o and -t name the same file;*"
    done
    [ ! -e ran ]
    [ "$(echo /dev/nul*)" = /dev/null ]
}

@test "a device is passed on as it is" {
    gives $own:log_path=/dev/null -o /dev/null
    gives $own:timeline=/dev/full -t /dev/full
    gives $own:log_path=/dev/null:timeline=/dev/null -o /dev/null -t /dev/null
    gives $own:log_path=stderr -o /dev/stderr
    gives $own:log_path=stdout -o /dev/fd/1
}

@test "a file with a colon in its path can't be passed on, and that is said" {
    mkdir with:colon
    touch with:colon/file a:b
    local option
    for option in -o -t -S; do
        wrapped $option a:b touch ran
        is_status 125
        has_line "run-with-shim.sh: $option $PWD/a:b: a path with a colon *"
        wrapped $option with:colon/file touch ran
        is_status 125
        (cd with:colon && wrapped $option file touch ran && is_status 125 && has_line "run-with-shim.sh: $option *: a path with a colon *")
        wrapped $option "$(printf '%01000d' 1)" touch ran
        is_status 125
        has_line "run-with-shim.sh: $option *"
    done
    [ -z "$(find . -name ran)" ]
}

@test "-h and --version" {
    local option
    for option in -h --help; do
        wrapped $option
        is_status 0
        has_line "Usage: run-with-shim.sh *"
        has_line "  --check *"
    done
}

@test "--help fits into 80 columns" {
    wrapped --help
    [ "${#lines[@]}" -gt 20 ]
    local line
    for line in "${lines[@]}"; do [ ${#line} -lt 80 ] || told "too long: $line"; done
}

@test "--version: the version, and the library's commit and build" {
    local version
    version=$(sed -n 's/.*GILSHIM_VERSION "\(.*\)"/\1/p' "$ROOT/shim/version.h")
    wrapped --version
    is_status 0
    [ "${#lines[@]}" -eq 2 ]
    [ "${lines[0]}" = "run-with-shim.sh (gilshim) $version" ]
    local build='^version [0-9.]+ \((commit [0-9a-f]{12}(-changed)?; )?(x86-64|AArch64), (gcc|clang) [0-9.]+, glibc [0-9.]+\)$'
    [[ ${lines[1]#"$ROOT/build/libgilshim.so: "} =~ $build ]]
    [[ ${lines[1]} == *" version $version "* ]]
    # It is the library's own word, of whichever library is found.
    installed_in place
    sed -i 's/, glibc [0-9.]*)/, glibc 9.99)/' place/lib/libgilshim.so
    limited 30 place/bin/run-with-shim.sh --version
    has_line "$PWD/place/lib/libgilshim.so: version $version (*, glibc 9.99)"
    rm place/lib/libgilshim.so
    limited 30 place/bin/run-with-shim.sh --version
    is_status 0
    has_line "run-with-shim.sh: no libgilshim.so *"
}

# ---- LD_PRELOAD and GILSHIM_OPTIONS

preload_with() { LD_PRELOAD=$1 limited 30 sh -c '"$1" printenv LD_PRELOAD 2>/dev/null' - "$wrapper"; }

@test "comes in front of an existing LD_PRELOAD" {
    preload_with /nowhere/other.so
    [ "${lines[-1]}" = "$library:/nowhere/other.so" ]
    preload_with "/nowhere/a.so /nowhere/b.so:/nowhere/c.so"
    [ "${lines[-1]}" = "$library:/nowhere/a.so:/nowhere/b.so:/nowhere/c.so" ]
}

@test "goes behind the sanitizers' runtimes" {
    preload_with "/nowhere/libasan.so.8:/nowhere/other.so"
    [ "${lines[-1]}" = "/nowhere/libasan.so.8:$library:/nowhere/other.so" ]
    preload_with "/nowhere/other.so:/nowhere/libtsan.so.2"
    [ "${lines[-1]}" = "/nowhere/libtsan.so.2:$library:/nowhere/other.so" ]
}

@test "a program built with -fsanitize=address still starts" {
    require "needs gcc with libasan" sh -c 'echo "int main(void) { return 7; }" | gcc -fsanitize=address -x c -o program -'
    require "needs a kernel that leaves the sanitizers their addresses" sh -c './program; [ $? -eq 7 ]'
    wrapped ./program
    is_status 7
    is_silent
}

@test "is not there twice, however it is spelled" {
    ln -s "$library" same.so
    wrapped "$wrapper" "$wrapper" printenv LD_PRELOAD
    [ "$output" = "$library" ]
    LD_PRELOAD=$library:/nowhere/x.so:$PWD/same.so limited 30 sh -c '"$1" printenv LD_PRELOAD 2>/dev/null' - "$wrapper"
    [ "${lines[-1]}" = "$library:/nowhere/x.so" ]
}

@test "without options: the last events are kept, and a summary comes" {
    gives $own
    before='' gives $own
}

@test "each option sets its own, and nothing else" {
    local mode
    for mode in repair off; do
        gives $own:mode=$mode -m $mode
    done
    for mode in observe strict; do # to be told of: as with -v
        gives $own:verbosity=1:mode=$mode -m $mode
        gives $own:verbosity=1:mode=$mode:verbosity=0:summary=0 -m $mode -q
        before=verbosity=2 gives $own:verbosity=1:verbosity=2:mode=$mode -m $mode
    done
    gives $own:verbosity=1 -v
    gives $own:verbosity=2 -v -v
    gives $own:verbosity=0:summary=0 -q
    gives $own:log_format=json -j
    gives $own:log_format=json --json
    gives $own:stall=5 -s 5
    gives $own:stall=0.25 -s 0.25
    gives "$own:timeline=$PWD/file" -t file
    gives $own:timeline=/nowhere/file -t /nowhere/file
    touch file
    gives "$own:suppressions=$PWD/file" -S file
    gives "$own:log_path=$PWD/log" -o log
    gives $own:log_path=/nowhere/log -o /nowhere/log
    gives $own:log_path=stdout -o stdout
    gives $own:log_path=stderr -o stderr
}

@test "the table of flags in shim/doc/options.md: each gives what stands beside it" {
    local flags values flag value rows=0
    touch file
    while IFS='|' read -r flags values; do
        while [ -n "$flags" ]; do # flags and values in pairs
            flag=${flags%%, *} value=${values%%, *}
            flags=${flags#"$flag"} && flags=${flags#, }
            values=${values#"$value"} && values=${values#, }
            # shellcheck disable=SC2086 # a flag and its argument
            gives "$own:$value" $flag
            rows=$((rows + 1))
        done
    done < <(sed -n '/^| flag | in /,/^$/p' "$ROOT/shim/doc/options.md" | sed -n 's/^| \(`-[^|]*\) | \([^|]*\) |$/\1|\2/p' |
        sed "s/ (.*//; s/\`//g; s/MODE/off/g; s/SECONDS/5/g; s/WHAT/calls/g; s|FILE|$PWD/file|g")
    [ "$rows" -eq 10 ] || told "$rows rows"
}

@test "options can be put together, and stand before their argument" {
    gives $own:verbosity=2 -vv
    gives $own:log_format=json:verbosity=1 -vj
    gives "$own:log_format=json:log_path=$PWD/log:verbosity=1" -jvolog
    gives $own:verbosity=1:mode=observe:stall=10 -mobserve -s10
    gives "$own:log_path=$PWD/log.%p.%e" -olog.%p.%e
    gives $own:verbosity=1 -v --
    gives $own:log_format=json:verbosity=1 --json -v
}

@test "of two the later counts" {
    gives $own:verbosity=0:summary=0 -v -q
    gives $own:verbosity=1 -q -v
    gives $own:mode=off:mode=repair -m off -m repair
}

@test "what is in GILSHIM_OPTIONS wins over the wrapper's own, and its options over that" {
    before=summary=0 gives $own:summary=0
    before=mode=off:verbosity=2 gives $own:mode=off:verbosity=2:verbosity=0:summary=0 -q
    before=history=1000 gives $own:history=1000:mode=off -m off
    # The wrapper in the wrapper puts its own in front of nothing again.
    gives $own:verbosity=0:summary=0:mode=off -q "$wrapper" -m off
    gives $own:verbosity=0:summary=0 -q "$wrapper"
    before=${own}0 gives $own:${own}0
}

@test "a blank in the path of a file is passed on; a per cent sign in the folder's name stays one" {
    mkdir 'a folder' '%p'
    touch 'a folder/file'
    gives "$own:log_path=$PWD/a folder/log:timeline=$PWD/a folder/t:suppressions=$PWD/a folder/file" \
        -o 'a folder/log' -t 'a folder/t' -S 'a folder/file'
    cd %p || return
    touch file
    gives "$own:log_path=$BATS_TEST_TMPDIR/%%p/log.%p:timeline=$BATS_TEST_TMPDIR/%%p/t.%p:suppressions=$PWD/file" -o log.%p -t t.%p -S file
}

@test "the summary is for stderr as it is" {
    : >file
    limited 30 sh -c '"$1" printenv GILSHIM_OPTIONS 2>file' - "$wrapper"
    [ "$output" = "history=64:crash=1:summary=@$(stat -c %i file)" ]
    # Once more in front of the same, or another.
    limited 30 sh -c '"$1" "$1" printenv GILSHIM_OPTIONS 2>file' - "$wrapper"
    [ "$output" = "history=64:crash=1:summary=@$(stat -c %i file)" ]
    limited 30 sh -c '"$1" sh -c "\"\$1\" printenv GILSHIM_OPTIONS 2>/dev/null" - "$1" 2>file' - "$wrapper"
    [ "$output" = "history=64:crash=1:summary=@$(stat -c %i -L /dev/null):history=64:crash=1:summary=@$(stat -c %i file)" ]
    limited 30 sh -c '"$1" printenv GILSHIM_OPTIONS 2>&-' - "$wrapper"
    is_status 0
    has_line history=64:crash=1:summary=1
}

# ---- two together

# What each option is given, and what it puts into GILSHIM_OPTIONS; from the wrapper's own list, so that a new one is not left out.
argument_of() {
    case $1 in
    -m) echo "$mode" ;;
    -o) echo "$PWD/log" ;;
    -t) echo "$PWD/trace" ;;
    -s) echo 3 ;;
    -S) echo "$PWD/rules" ;;
    -c) echo calls ;;
    esac
}
effect_of() {
    case $1 in
    -m) echo "mode=$mode" ;;
    -o) echo "log_path=$PWD/log" ;;
    -t) echo "timeline=$PWD/trace" ;;
    -s) echo stall=3 ;;
    -S) echo "suppressions=$PWD/rules" ;;
    -c) echo check=calls ;;
    -j) echo log_format=json ;;
    -q) echo verbosity=0:summary=0 ;;
    -v) echo "verbosity=[12]" ;;
    -d) echo "verbosity=1" ;;
    esac
}

# Either it has its effect, or a line says that it has none, or (-q, -v) the other one, behind it, counts.
has_effect() {
    local option=$1 other=$2
    case $option:$other in -q:-v | -v:-q) return ;; esac
    # shellcheck disable=SC2254
    case :$output: in
    *:$(effect_of "$option"):*) return ;;
    *"run-with-shim.sh: "*"$option"*": no effect with "*) return ;;
    esac
    told "$option beside $other has no effect, and that is not said"
}

@test "every two options: each has its effect, or is said to have none" {
    local mode option other options=() pairs=0 words
    touch rules
    mkdir bin
    printf '#!/bin/sh\nprintenv GILSHIM_OPTIONS\n' >bin/gdb
    chmod +x bin/gdb
    mapfile -t options < <("$wrapper" -h | sed -n 's/^  \(-[a-zA-Z]\),* .*/\1/p' | grep -vx -e -h -e -p)
    [ "${#options[@]}" -ge 9 ] || told "${options[*]}"
    for mode in observe off; do
        for option in "${options[@]}"; do
            for other in "${options[@]}"; do
                [ $mode = observe ] || [ "$option" = -m ] || [ "$other" = -m ] || continue
                words=("$option")
                [ -z "$(argument_of "$option")" ] || words+=("$(argument_of "$option")")
                words+=("$other")
                [ -z "$(argument_of "$other")" ] || words+=("$(argument_of "$other")")
                limited 30 env -u GILSHIM_OPTIONS PATH="$PWD/bin:$PATH" "$wrapper" "${words[@]}" printenv GILSHIM_OPTIONS
                is_status 0
                has_effect "$option" "$other"
                has_effect "$other" "$option"
                pairs=$((pairs + 1))
            done
        done
    done
    [ "$pairs" -ge 98 ]
}

@test "--check and --options say which options they have no use for" {
    wrapped -v -o log --check /bin/true
    has_line "run-with-shim.sh: -v -o: no effect with --check"
    wrapped --options -j
    has_line "run-with-shim.sh: -j: no effect with --options"
    wrapped -m off -s 2 -t x true
    is_status 0
    [ "$output" = "run-with-shim.sh: -s -t: no effect with -m off" ]
    GILSHIM_OPTIONS=mode=off wrapped -s 2 true
    has_line "run-with-shim.sh: -s: no effect with -m off"
    GILSHIM_OPTIONS=mode=off:mode=repair wrapped -s 2 true
    is_silent
    GILSHIM_OPTIONS=mode=off wrapped -s 2 -m repair true
    is_silent
    wrapped -q -m off true
    is_silent
}

@test "-c: what is checked, also together with others" {
    local what
    for what in calls locks all; do
        wrapped -c $what printenv GILSHIM_OPTIONS
        is_status 0
        [[ $output = *:check=$what ]] || told "-c $what"
        wrapped -vc$what printenv GILSHIM_OPTIONS
        [[ :$output: = *:check=$what:* && :$output: = *:verbosity=1:* ]] || told "-vc$what"
    done
}
