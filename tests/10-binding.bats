#!/usr/bin/env bats
# Binding must not break programs that do not use Python, or that contain two CPythons.

load helpers

fixtures=$ROOT/build/fixtures

# $1: LD_PRELOAD with SHIM for the shim
preloaded() {
    local preload=${1//SHIM/$GILSHIM_LIB}
    shift
    limited 60 env LD_PRELOAD="$preload" GILSHIM_OPTIONS="${GILSHIM_TEST_SHIM_OFF:+mode=off}" "$@"
    is_status 0
}

@test "a chain of other preloads stays what it is, with the shim before, between and behind them" {
    local a=$fixtures/chain_a.so b=$fixtures/chain_b.so order bare
    for order in "SHIM:$a:$b" "$a:SHIM:$b" "$a:$b:SHIM"; do
        preloaded "$a:$b" "$fixtures/chain_main"
        bare=$output
        has_line "call: ab, right"
        has_line "dlsym RTLD_NEXT: ab, right"
        preloaded "$order" "$fixtures/chain_main"
        [ "$output" = "$bare" ] || told "LD_PRELOAD=$order, without the shim: $bare"
    done
}

@test "a program without other preloads sees the same of dlsym, dlvsym and dlerror" {
    without "$fixtures/chain_main"
    local bare=$output
    is_status 0
    with_shim "$fixtures/chain_main"
    is_status 0
    [ "$output" = "$bare" ] || told "without the shim: $bare"
}

@test "in a process without Python none of the API is found" {
    without "$fixtures/bind_lookup" names
    is_status 0
    [ "$output" = "done" ]
    with_shim "$fixtures/bind_lookup" names
    is_status 0
    [ "$output" = "done" ] || told "this is what uwsgi and others ask to learn whether Python is there"
}

@test "dlsym reads no further than the name goes" {
    without "$fixtures/bind_lookup" edges
    is_status 0
    local bare=$output
    has_line '"getppid" is there'
    with_shim "$fixtures/bind_lookup" edges
    is_status 0
    [ "$output" = "$bare" ] || told "without the shim: $bare"
}

# Twice the time plus 100 ns: generous, for the machine may be busy.
@test "dlsym of other names costs about what it cost" {
    local kind bare with
    without "$fixtures/bind_lookup" cost
    bare=$output
    with_shim "$fixtures/bind_lookup" cost
    with=$output
    for kind in default next handle missing; do
        [ "$(awk -v k=$kind '$1 == k { print $2 }' <<<"$with")" -le "$(awk -v k=$kind '$1 == k { print 2 * $2 + 100 }' <<<"$bare")" ] ||
            told "ns for each call without the shim: $bare"
    done
}

@test "processes without Python: silent, same output and status" {
    local program
    for program in "true" "false" "ls -d /" "sh -c 'exit 3'" "sh -c 'kill -TERM \$\$'"; do
        without sh -c "$program"
        local bare="$status $output"
        with_shim sh -c "$program"
        [ "$status $output" = "$bare" ] || told "$program, without the shim: $bare"
    done
}

# The interpreters with a shared libpython, the first and the last of them.
two_libpythons() {
    local tags
    tags=$(printf '%s\n' "${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}" | awk -F '\t' '$2 == "shared" && $5 != "-" { print $1 }')
    first=$(head -n 1 <<<"$tags")
    last=$(tail -n 1 <<<"$tags")
    [ -n "$first" ] && [ "$first" != "$last" ]
}

@test "two libpythons in one process, each with its plug-in: as without the shim" {
    local first last
    two_libpythons || require "needs two interpreters with a shared libpython" false
    local command=("$fixtures/bind_two" "$fixtures/$first/libbind_plugin.so" "$fixtures/$last/libbind_plugin.so")
    without "${command[@]}"
    is_status 0
    has_line "done"
    local bare=$output
    with_shim "${command[@]}"
    is_status 0
    [ "$output" = "$bare" ] || told "without the shim: $bare"
    # the other way round
    with_shim "$fixtures/bind_two" "${command[2]}" "${command[1]}"
    is_status 0
    has_line "done"
}

@test "two libpythons in one process are told of, with their files" {
    local first last options
    two_libpythons || require "needs two interpreters with a shared libpython" false
    local command=("$fixtures/bind_two" "$fixtures/$first/libbind_plugin.so" "$fixtures/$last/libbind_plugin.so")
    for options in verbosity=1 mode=observe mode=strict; do
        SHIM_OPTIONS=$options works_with "${command[@]}"
        has_line "==*== gilshim: warning: *two libpythons in one process: *nothing is repaired: /*libpython$first.so*, /*libpython$last*.so*"
        [ "$(count_lines '*two libpythons*')" -eq 1 ]
    done
    SHIM_OPTIONS=verbosity=1:log_format=json works_with "${command[@]}"
    has_line "{*\"name\": \"two_libpythons\"*\"libpythons\": \[\"/*libpython$first.so*\", \"/*libpython$last*.so*\"\]*}"
}

@test "the functions in assembler begin with landing pads, and say so to the linker" {
    local source functions pads protection=-fcf-protection=full
    [ "$(uname -m)" != aarch64 ] || protection=-mbranch-protection=bti
    for source in "$ROOT"/shim/system/*.S; do
        limited 60 cc "$protection" -D_GNU_SOURCE -iquote "$ROOT/shim" -c -o "$BATS_TEST_TMPDIR/part.o" "$source"
        is_status 0
        # What C gets is all that it needs.
        limited 60 sh -c "echo 'int f(void) { return 0; }' | cc $protection -xc -r -nostdlib -o '$BATS_TEST_TMPDIR/both.o' - -xnone '$BATS_TEST_TMPDIR/part.o' && readelf -n '$BATS_TEST_TMPDIR/both.o'"
        has_line '*Properties: *feature: *I*'
        functions=$(readelf --syms --wide "$BATS_TEST_TMPDIR/part.o" | awk '$4 == "FUNC" && $5 == "GLOBAL"' | wc -l)
        pads=$(objdump -d "$BATS_TEST_TMPDIR/part.o" | grep -A 1 '^[0-9a-f]* <[a-z_]*>:$' | grep -c 'endbr64\|bti') || :
        [ "$functions" -gt 0 ] && [ "$pads" -ge "$functions" ] || told "$pads of $functions in $source"
    done
}
