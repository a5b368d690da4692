#!/usr/bin/env bats
# Real misuse stays visible: misuse that no rule can repair (tests/fixtures/misuse) ends exactly as without the shim, with the
# same status and CPython's own message. No difference is intended.

load ../helpers

setup() {
    export PYTHONPATH=$FIXTURES
}

# The outcome in one line: status, and what CPython says, without addresses.
commit() {
    LIMIT=20 "$1" "$PYTHON" -S -c "import gilmisuse; gilmisuse.run('$2')"
    local said
    said=$(grep -m 1 -o 'Fatal Python error.*\|survived' <<<"$output" | sed 's/0x[0-9a-f]*/ADDRESS/g') || true
    printf '%s\n' "$status $said" >"$BATS_TEST_TMPDIR/$2.$1"
}

@test "what no program may do ends as CPython ends it" {
    local name how runs=() names=() failed=0 deaths=0
    mapfile -t names < <("$PYTHON" -S -c 'import gilmisuse; gilmisuse.names()')
    [ "${#names[@]}" -gt 20 ]
    for name in "${names[@]}"; do
        for how in without with_shim; do
            commit "$how" "$name" &
            runs+=($!)
        done
        if [ ${#runs[@]} -ge 16 ]; then
            wait "${runs[@]}"
            runs=()
        fi
    done
    [ ${#runs[@]} -eq 0 ] || wait "${runs[@]}"
    for name in "${names[@]}"; do
        grep -q '^1[0-9][0-9] ' "$BATS_TEST_TMPDIR/$name.without" && deaths=$((deaths + 1))
        cmp -s "$BATS_TEST_TMPDIR/$name.without" "$BATS_TEST_TMPDIR/$name.with_shim" && continue
        # In free-threaded debug builds no thread is plain before the probe for moved (bound.h): the rules see it, and repair it (freed).
        ! is_free_threaded || [ "$PY_BUILD-$name" != debug-release_twice ] || continue
        echo "$name: without the shim: $(cat "$BATS_TEST_TMPDIR/$name.without")"
        echo "$name: with it:          $(cat "$BATS_TEST_TMPDIR/$name.with_shim")"
        failed=1
    done
    [ "$failed" -eq 0 ]
    # An unharmed suite would show nothing.
    [ "$deaths" -ge 12 ]
}

# The report's words are taken from the stack or from the code that calls Py_FatalError: never others than CPython's.
@test "the report of a fatal error has CPython's own words" {
    local name text said reported=0 silent=0
    for name in $("$PYTHON" -S -c 'import gilmisuse; gilmisuse.names()'); do
        LIMIT=20 SHIM_OPTIONS=history=8:log_format=json with_shim "$PYTHON" -S -c "import gilmisuse; gilmisuse.run('$name')"
        text=$(sed -n 's/^Fatal Python error: //p' <<<"$output" | head -n 1 | sed 's/0x[0-9a-f]*/.../')
        [ -n "$text" ] && grep -q '"type": "fatal"' <<<"$output" || continue
        said=$(sed -n 's/.*"type": "fatal".*"said": "\([^"]*\)".*/\1/p' <<<"$output")
        case $text in
        *"${said:-unsaid}") reported=$((reported + 1)) ;;
        *)
            echo "$name: CPython said: $text"
            echo "$name: reported:     $said"
            [ -z "$said" ]
            silent=$((silent + 1))
            ;;
        esac
    done
    [ "$reported" -ge 10 ]
    [ "$silent" -eq 0 ]
}
