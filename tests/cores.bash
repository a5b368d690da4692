# For tests of core files (run-with-shim.sh --core).
# shellcheck disable=SC2034,SC2154 # helpers.bash's and hanging.bash's variables

# The kernel writes core files into the current folder, as files: not to a program, not elsewhere.
writes_cores() {
    local pattern
    pattern=$(cat /proc/sys/kernel/core_pattern) || return
    case $pattern in '' | '|'* | */*) return 1 ;; esac
    # shellcheck disable=SC3045 # bash has it
    (ulimit -c unlimited) 2>/dev/null
}

# take_core: sets $core to the core file that was written here, and gives it a name of its own.
take_core() {
    require "$NEEDS_KERNEL" has_kernel
    local file end=$((SECONDS + 20))
    core=''
    while [ -z "$core" ] && [ "$SECONDS" -lt "$end" ]; do
        for file in core core.*; do
            [ ! -s "$file" ] || { core=$file && break; }
        done
        [ -n "$core" ] || sleep 0.1
    done
    [ -n "$core" ] || told "no core file was written" || return
    mv "$core" taken && core=$PWD/taken
}

# dies_of CMD...: runs it bare; it leaves $core.
dies_of() {
    require "$NEEDS_KERNEL" has_kernel
    require "the kernel does not write core files here" writes_cores
    rm -f core core.* taken
    ulimit -c unlimited
    without "$@"
    [ "$status" -gt 128 ] || told "expected a death by a signal: $*" || return
    take_core
}

# quits: ends the process that hangs by SIGQUIT; it leaves $core. The kernel writes as long as the process is there: a build without the
# GIL has reserved 1 GB.
quits() {
    local end=$((SECONDS + 60))
    rm -f core core.* taken
    kill -QUIT "$pid" || return
    while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 0.05; done
    take_core
}

# reads [OPTION...]: explains $core.
reads() { limited 60 "$ROOT/run-with-shim.sh" --core "$core" "$@"; }

# shellcheck disable=SC2254 # a pattern on purpose
begins() {
    case ${lines[0]:-} in $1) ;; *) told "the first line does not match: $1" ;; esac
}
