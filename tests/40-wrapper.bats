# run-with-shim.sh as people use it: it finds the library from any place, and runs the program unchanged.

load helpers
load wrapper

setup() {
    wrapper=$ROOT/run-with-shim.sh
    library=$(readlink -f "$GILSHIM_LIB")
    cd "$BATS_TEST_TMPDIR" || return
}

# ---- finding the library

@test "finds the library in a checkout, and preloads it" {
    wrapped sh -c 'echo "$LD_PRELOAD"; grep -q libgilshim.so /proc/self/maps && echo mapped; grep -c libgilshim /proc/$$/maps >/dev/null && echo too'
    is_status 0
    [ "${lines[0]}" = "$library" ]
    [ "${lines[1]} ${lines[2]}" = "mapped too" ]
}

@test "finds the library beside itself" {
    mkdir place && cp "$ROOT/run-with-shim.sh" "$library" place/
    limited 30 place/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$PWD/place/libgilshim.so" ]
}

@test "finds the library in ../lib of where it is installed" {
    installed_in place
    limited 30 place/bin/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$PWD/place/lib/libgilshim.so" ]
}

@test "works through a symlink, and a symlink to that" {
    installed_in place
    mkdir -p elsewhere
    ln -s ../place/bin/run-with-shim.sh elsewhere/first
    ln -s elsewhere/first second
    limited 30 ./second printenv LD_PRELOAD
    [ "$output" = "$PWD/place/lib/libgilshim.so" ]
    (cd / && PATH=$BATS_TEST_TMPDIR/elsewhere:$PATH limited 30 first true && is_status 0 && is_silent)
}

@test "works from another directory, by a relative path, and found in PATH" {
    installed_in place
    cd place/lib || return
    limited 30 ../bin/run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$BATS_TEST_TMPDIR/place/lib/libgilshim.so" ]
    cd / || return
    PATH=$BATS_TEST_TMPDIR/place/bin:$PATH limited 30 run-with-shim.sh printenv LD_PRELOAD
    [ "$output" = "$BATS_TEST_TMPDIR/place/lib/libgilshim.so" ]
    CDPATH=/usr:/ limited 30 sh "$BATS_TEST_TMPDIR/place/bin/run-with-shim.sh" pwd
    [ "$output" = / ]
}

@test "says that the library is missing" {
    cp "$ROOT/run-with-shim.sh" .
    limited 30 ./run-with-shim.sh true
    is_status 125
    has_line "run-with-shim.sh: no libgilshim.so beside *"
}

@test "refuses a library whose path ld.so would split" {
    local name
    for name in 'with blank' 'with:colon' "with	tab" 'with$dollar'; do
        installed_in "$name"
        limited 30 "$name/bin/run-with-shim.sh" echo ran
        is_status 125
        has_line "run-with-shim.sh: can't preload '*/$name/lib/libgilshim.so': *"
        has_no_line ran
    done
}

# ---- handing over

@test "arguments arrive as they are" {
    wrapped printf '<%s>\n' 'two words' "quo'te" '*' '' '$HOME' -x -- 'new
line'
    is_status 0
    [ "$output" = "$(printf '<%s>\n' 'two words' "quo'te" '*' '' '$HOME' -x -- 'new
line')" ]
}

@test "a program whose path has blanks" {
    mkdir 'a place'
    printf '#!/bin/sh\necho "$#" "$1"\n' >'a place/my program'
    chmod +x 'a place/my program'
    wrapped 'a place/my program' 'one argument'
    is_status 0
    [ "$output" = "1 one argument" ]
}

@test "standard input, output and error are the program's" {
    limited 30 sh -c 'printf in | "$1" sh -c "cat; echo err >&2" 2>err >out' - "$wrapper"
    is_status 0
    is_silent
    [ "$(cat out)" = in ]
    [ "$(cat err)" = err ]
}

@test "the program keeps the name by which it was called" {
    ln -s "$(command -v sh)" another-name
    local bare # a path, where the kernel starts programs by an emulator
    bare=$(PATH=$PWD:$PATH another-name -c 'echo $0')
    PATH=$PWD:$PATH wrapped another-name -c 'echo $0'
    [ "$output" = "$bare" ]
    [[ $bare == *another-name ]]
}

@test "-- ends the options; so does the command" {
    wrapped -- sh -c 'echo "$@"' - -q -x
    is_status 0
    [ "$output" = "-q -x" ]
    printf '#!/bin/sh\necho dashed\n' >./-program
    chmod +x ./-program
    PATH=$PWD:$PATH wrapped -- -program
    is_status 0
    [ "$output" = dashed ]
}

@test "takes no process of its own: the program has the wrapper's pid" {
    limited 30 sh -c '"$1" sh -c "echo \$\$" & echo $!; wait' - "$wrapper"
    is_status 0
    [ "${lines[0]}" = "${lines[1]}" ]
}

# ---- exit statuses

@test "the exit status is the program's" {
    wrapped sh -c 'exit 3'
    is_status 3
    wrapped false
    is_status 1
}

@test "a program that dies by a signal dies by it" {
    limited 30 "$BASH" -c 'trap "" ABRT; "$1" sh -c "kill -USR1 \$\$"; echo "status $?"' - "$wrapper"
    has_line "status 138"
    wrapped sh -c 'kill -SEGV $$'
    is_status 139
}

@test "a program that does not exist: 127" {
    wrapped no-such-program
    is_status 127
    [ "$output" = "run-with-shim.sh: no-such-program: command not found" ]
    wrapped ./no-such-program
    is_status 127
    PATH=/nowhere:$PATH wrapped no-such-program
    is_status 127
}

@test "a program that is not executable, a directory: 126" {
    echo 'echo ran' >program
    wrapped ./program
    is_status 126
    [ "$output" = "run-with-shim.sh: ./program: is not executable" ]
    wrapped "$PWD"
    is_status 126
    has_line "*: is a directory"
}
