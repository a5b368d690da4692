# README's first example and its commands as they stand there. What it does on each interpreter: each-python/10-readme.bats.

load helpers

# The commands of README's block of shell that has this line in it, without their comments.
commands_with() {
    awk -v wanted="$1" '
        /^```/ { if (inside && found) { printf "%s", block; exit }; inside = $0 == "```sh"; block = ""; found = 0; next }
        inside { if (index($0, wanted)) found = 1; sub(/  +#.*/, ""); block = block $0 "\n" }
    ' "$ROOT/README.md"
}

@test "README's first example is compiled and run by the commands that stand below it" {
    require "needs python3-dev, or a python3-config with a shared libpython" \
        sh -c 'python3-config --embed --ldflags && [ -x /usr/bin/python3-config ]'
    cd "$BATS_TEST_TMPDIR"
    "$ROOT/tests/fixtures/readme/extract" "$ROOT/README.md" two_ways.c >example.c && mv example.c two_ways.c
    ln -s "$ROOT/run-with-shim.sh" "$ROOT/build" .
    mapfile -t commands < <(commands_with 'two_ways.c $(python3-config')
    [ ${#commands[@]} -eq 3 ]
    export PATH=/usr/bin:/bin
    limited 60 sh -c "${commands[0]}"
    is_status 0
    is_silent
    limited 60 sh -c "${commands[1]}"
    case $(/usr/bin/python3 -S -c 'import sys; print(sys.version_info >= (3, 12))') in
    False) is_status 124 ;; # timeout's own: it hung
    True) has_line 'library B has run Python' ;;
    esac
    limited 60 sh -c "${commands[2]}"
    is_status 0
    has_line 'library B has run Python'
    has_line '*gilshim: repaired moved: *PyEval_AcquireThread by two_ways!library_a+0x*'
}
