# run-with-shim.sh -d: the program runs under gdb, only the program has the shim, and gdb stops at the first report.

load helpers
load wrapper

gdb_can_trace() { limited 60 gdb -nx -batch -ex run --args /bin/true && [ "$status" -eq 0 ] && [[ $output == *'exited normally'* ]]; }

setup_file() {
    use_python static || use_python shared
    "$ROOT/tests/demo/build" "$PYTHON" "$BATS_FILE_TMPDIR/modules"
    export PYTHONPATH=$BATS_FILE_TMPDIR/modules
}

setup() {
    wrapper=$ROOT/run-with-shim.sh
    library=$(readlink -f "$GILSHIM_LIB")
    cd "$BATS_TEST_TMPDIR" || return
    LIMIT=240 # gdb reads the symbols of all of Python
    printf 'set debuginfod enabled off\n' >.gdbinit
    export HOME=$PWD
}

# The wrapper with -d and these gdb commands, which come after the program has stopped.
debugged() {
    printf '%s\n' "$commands" >commands
    GILSHIM_GDB_ARGS="-batch -x commands" wrapped "$@"
}
# Something else than gdb that tells how it was called.
fake_gdb() {
    mkdir -p fake
    printf '#!/bin/sh\nprintf "<%%s>\\n" "preload ${LD_PRELOAD-unset}" "shell $SHELL" "$@"\n' >fake/gdb
    chmod +x fake/gdb
    PATH=$PWD/fake:$PATH
}

@test "-d stops at the first report, whose line can be read, and goes on from there" {
    require "needs a gdb that may trace" gdb_can_trace
    commands='bt
continue'
    debugged -d "$PYTHON" -S "$ROOT/tests/demo/demo.py"
    is_status 0
    has_line '*Breakpoint 1, gilshim_first_report *'
    has_line '#0 *gilshim_first_report (*repaired *engine.so!engine_call_back+0x*'
    has_line '#* engine_call_back *'
    has_line '*5. done.'
    has_line '*exited normally*'
    [ "$(count_lines '* hit Breakpoint *')" -eq 1 ]
}

@test "-d of a program with nothing to report runs to its end; the exit status is the program's" {
    require "needs a gdb that may trace" gdb_can_trace
    debugged -d "$PYTHON" -S -c 'raise SystemExit(9)'
    is_status 9
    has_no_line '*hit Breakpoint*'
}

@test "-d: arguments arrive as they are, and the environment is the program's own" {
    require "needs a gdb that may trace" gdb_can_trace
    cat >show.sh <<'SH'
printf '<%s>' "$@" "$LD_PRELOAD" "$SHELL" "$GILSHIM_OPTIONS"
echo
SH
    SHELL=/bin/strange GILSHIM_OPTIONS=repair=all LD_PRELOAD=/nowhere/it\'s.so debugged -d sh show.sh 'two words' "quo'te" '*' '' '$HOME' -x -- '\a;b&'
    is_status 0
    has_line "*<two words><quo'te><*><><\$HOME><-x><--><\\\\a;b&><$library:/nowhere/it's.so></bin/strange><*verbosity=1:repair=all>*"
}

# As under a service manager or a CI.
@test "-d: no SHELL in the environment, none in the program's" {
    require "needs a gdb that may trace" gdb_can_trace
    unset SHELL
    debugged -d /usr/bin/env
    is_status 0
    has_line 'LD_PRELOAD=*libgilshim.so*'
    has_no_line 'SHELL=*'
}

@test "-d: neither gdb nor its shell has the shim" {
    require "needs a gdb that may trace" gdb_can_trace
    # Its file may be there for its symbols; its code is not.
    commands='shell grep -c "r-xp.*libgilshim" /proc/$PPID/maps
shell echo "here ${LD_PRELOAD-unset}"
show environment LD_PRELOAD'
    # The outer wrapper preloads it into the inner one.
    printf '%s\n' "$commands" >commands
    GILSHIM_GDB_ARGS="-batch -x commands" wrapped -q "$wrapper" -d true
    is_status 0
    has_line 0
    has_line 'here unset'
    has_line '*LD_PRELOAD*not defined*'
}

@test "-d starts a script as the kernel would" {
    fake_gdb
    printf '#! %s  -S -E \n' "$PYTHON" >script
    printf '#!%s/script two words\n' "$PWD" >by-script
    printf 'echo\n' >plain
    chmod +x script by-script plain
    wrapped -d ./script arg
    [[ $output == *"<--args>
<$PYTHON>
<-S -E>
<./script>
<arg>" ]] || told "a script"
    wrapped -d ./by-script
    [[ $output == *"<--args>
<$PYTHON>
<-S -E>
<$PWD/script>
<two words>
<./by-script>" ]] || told "a script of a script"
    wrapped -d ./plain
    [[ $output == *"<--args>
</bin/sh>
<./plain>" ]] || told "a script without #!"
}

@test "-d gives gdb a shell that it understands, and other preloads as they were" {
    fake_gdb
    SHELL=/usr/bin/fish LD_PRELOAD=/nowhere/libasan.so:/nowhere/b.so wrapped -d true
    has_line '<shell /bin/sh>'
    has_line '<preload /nowhere/libasan.so:/nowhere/b.so>'
    has_line "<set exec-wrapper env SHELL='/usr/bin/fish' LD_PRELOAD='/nowhere/libasan.so:$library:/nowhere/b.so'>"
    wrapped -d -q true
    has_line "<preload unset>"
}

@test "-d without gdb says so" {
    mkdir bin
    local tool
    for tool in sh sed readlink dirname id ls cat true; do ln -s "$(type -P $tool)" bin/; done
    limited 30 env PATH="$PWD/bin" "$wrapper" -d true
    is_status 127
    [ "$output" = "run-with-shim.sh: -d needs gdb, which is not installed" ]
}
