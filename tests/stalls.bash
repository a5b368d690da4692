# For tests of programs that hang for good (tests/fixtures/stall).
# shellcheck disable=SC2034,SC2154 # helpers.bash's variables

# stalls KIND PATTERN: runs such a program with stall=0.3 until a line of its log matches the basic regular expression; then
# ends it. The log is in $output and $lines.
stalls() {
    require "$NEEDS_KERNEL" has_kernel
    local limit=$((${LIMIT:-60} * ${GILSHIM_TEST_PATIENCE:-1}))
    local log=$BATS_TEST_TMPDIR/log.$RANDOM program end=$((SECONDS + limit))
    # timeout makes a process group of what it runs.
    timeout -s KILL "$limit" env \
        LD_PRELOAD="$GILSHIM_LIB" GILSHIM_OPTIONS="stall=0.3:log_path=$log${SHIM_OPTIONS:+:$SHIM_OPTIONS}" \
        "$PYTHON" "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" "$1" "${KIND_ARGUMENTS:-}" \
        >/dev/null 2>&1 3>&- </dev/null &
    program=$!
    until grep -qs -e "$2" "$log".*; do
        if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$program" 2>/dev/null; then
            break
        fi
        sleep 0.1
    done
    kill -KILL -- "-$program" 2>/dev/null || :
    wait "$program" || :
    output=$(cat "$log".* 2>/dev/null) || :
    IFS=$'\n' read -r -d '' -a lines <<<"$output" || :
    status=0
    grep -qs -e "$2" "$log".* || told "no such line in the log: $2"
}

# shellcheck disable=SC2254 # a pattern on purpose
first_line() {
    case ${lines[0]} in $1) ;; *) told "the first line does not match: $1" ;; esac
}

# It is CPython's own function that shows a Python stack. 2.7 has none; 3.9, 3.10, 3.13 and 3.14 hide it, and a stripped file has
# no other list: Debian's release builds are. 3.15's is public.
python_stack_is_hidden() {
    ! python_before 3 || return 0
    case $PY_TAG in *-dbg*) return 1 ;; deb*) ;; *) return 1 ;; esac
    case $PY_VERSION in 3.9 | 3.10 | 3.13 | 3.14) ;; *) return 1 ;; esac
}

# has_python_stack FRAME: the report has the holder's Python stack with that line, or says why not.
has_python_stack() {
    if python_stack_is_hidden; then
        has_line '*Python stack of the holder: not available: this interpreter is stripped*'
    else
        has_line "$1"
    fi
}
