# README's first example and its commands, as README shows them. each-python/10-readme.bats runs the example on each interpreter.
# And the form of README and of the pages in shim/doc: length, links, tables.

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
    echo 'all: build/libgilshim.so' >Makefile # it is built already
    mapfile -t commands < <(commands_with 'two_ways.c $(python3-config')
    [ ${#commands[@]} -eq 3 ]
    export PATH=/usr/bin:/bin
    limited 60 sh -c "${commands[0]}"
    is_status 0
    is_silent
    limited 60 sh -c "${commands[1]}"
    local status_bare=$status bare=$output
    limited 60 sh -c "${commands[2]}"
    is_status 0
    has_line 'library B has run Python'
    case $(/usr/bin/python3 -S -c 'import sys; print(sys.version_info >= (3, 12))') in
    False) # timeout's own: it hung
        [ "$status_bare" -eq 124 ]
        has_line '*gilshim: repaired moved: *PyEval_AcquireThread by two_ways!library_a+0x*'
        ;;
    True) # CPython's slot follows what is attached: there is nothing to repair
        [ "$status_bare" -eq 0 ]
        [[ $bare = *'library B has run Python'* ]]
        has_no_line '*gilshim: repaired *'
        ;;
    esac
}

@test "the table of options, shim/doc/options.md, has those of the library, with their defaults" {
    "$ROOT/run-with-shim.sh" --options 2>&1 | sed -n 's/^gilshim:   \([a-z_]*\)=.*(default \([^ )]*\).*/\1 \2/p' | sort >"$BATS_TEST_TMPDIR/library"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/library")" -gt 12 ]
    # One row may have two options, separated by commas, and so their defaults.
    sed -n 's/\\|/,/g; s/^| \(`[a-z_]*=[^|]*\) | \([^|]*\) |.*/\1|\2/p' "$ROOT/shim/doc/options.md" | tr -d '`' |
        awk -F'|' '{ n = split($1, keys, ", "); split($2, defaults, ", "); for (i = 1; i <= n; i++) { sub(/=.*/, "", keys[i]); print keys[i], defaults[i] } }' |
        sort >"$BATS_TEST_TMPDIR/page"
    diff "$BATS_TEST_TMPDIR/library" "$BATS_TEST_TMPDIR/page"
}

@test "the tables of repairs, README's and shim/doc/repairs.md, have those of the library" {
    sed -n 's/^REPAIR(\([a-z]*\),.*/\1/p' "$ROOT/shim/repairs.def" | sort >"$BATS_TEST_TMPDIR/library"
    local page
    for page in README.md shim/doc/repairs.md; do
        sed -n 's/^| `\([a-z]*\)` |.*/\1/p' "$ROOT/$page" | sort >"$BATS_TEST_TMPDIR/page"
        diff "$BATS_TEST_TMPDIR/library" "$BATS_TEST_TMPDIR/page" || told "in $page"
    done
}

@test "README's table of what you see: its options are the wrapper's, and the reports that it names exist" {
    local row see command report rows=0 option name
    "$ROOT/run-with-shim.sh" -h >"$BATS_TEST_TMPDIR/help"
    while IFS= read -r row; do
        IFS='|' read -r _ see command report _ <<<"$row"
        rows=$((rows + 1))
        [ "$rows" -ne 1 ] || [[ $see = *"it hangs now"* ]] || told "the first row is not that of a hang now"
        [[ $command = *'`run-with-shim.sh '* ]] || told "no command: $row"
        while IFS= read -r option; do
            grep -qE "^  (-[a-z], )?$option( |$)" "$BATS_TEST_TMPDIR/help" || told "no option $option: $row"
        done < <(grep -oE '(^|[ `])--?[a-z]+' <<<"$command" | tr -d ' `')
        while IFS= read -r name; do
            grep -qE "^(REPAIR|REPORT)\($name," "$ROOT/shim/repairs.def" "$ROOT/shim/reports.def" || told "no report $name: $row"
        done < <(grep -oE '`(repaired |GIL error: )?[a-z_]+(: LIB: \.\.\.|: LIB: PyList[^`]*)?`|`crash: ' <<<"$report" |
            sed 's/`//g; s/repaired //; s/GIL error: //; s/:.*//')
    done < <(sed -n '/^| you see |/,/^$/p' "$ROOT/README.md" | sed '1,2d; /^$/d')
    [ "$rows" -ge 15 ]
}

# Each in its folder's row. And what the map names is there.
@test "the map of the code, shim/README.md, has each file of the library" {
    local file folder name path missing=''
    for file in "$ROOT"/shim/*/*.c; do
        folder=$(basename "${file%/*}") name=$(basename "$file" .c)
        sed -n "s/^| \`$folder\/\` |//p" "$ROOT/shim/README.md" | grep -q "\`$name\`" || missing+=" $folder/$name"
    done
    [ -z "$missing" ] || told "shim/README.md does not name:$missing"
    while IFS= read -r path; do
        [ -e "$ROOT/shim/$path" ] || told "shim/README.md names what is not there: $path" || return
    done < <(grep -o '`[a-z]*/[a-z_]*\.[chS]`\|`[a-z]*\.def`' "$ROOT/shim/README.md" | tr -d '`')
}

@test "the floors of the code are those of make lint" {
    local floors # two folders on one floor, A+B, are +A and +B there
    floors=$(sed -n 's/^floors := //p' "$ROOT/Makefile" | tr ' ' '\n' | tac | sed 's/\(.*\)+\(.*\)/+\1\n+\2/')
    [ "$(sed -n 's/^  \([ +]\)\([a-z]*\)\/ .*/\1\2/p' "$ROOT/shim/README.md" | tr -d ' ')" = "$floors" ] ||
        told "not the floors that shim/README.md shows: $floors"
}

@test "the library depends on glibc alone" {
    limited 60 readelf -d "$GILSHIM_LIB"
    output=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$output")
    IFS=$'\n' read -r -d '' -a lines <<<"$output" || :
    has_line 'libc.so.6'
    local needed
    for needed in "${lines[@]}"; do
        case $needed in libc.so.6 | libdl.so.2 | libpthread.so.0 | ld-linux-*.so.*) ;; *) told "needs $needed" ;; esac
    done
}

@test "each target of make that README and the pages name is one" {
    local target
    while IFS= read -r target; do
        grep -qE "^([^:#=]* )?$target( [^:#=]*)?:" "$ROOT"/Makefile "$ROOT"/tests/*/rules.mk || told "no target $target"
    done < <(grep -oh '`make [a-z][a-z0-9-]*\|^make [a-z][a-z0-9-]*' "$ROOT/README.md" "$ROOT"/shim/doc/*.md | sed 's/`*make //' | sort -u)
}

@test "README is short: at most 240 lines of 100 columns, but for tables" {
    [ "$(wc -l <"$ROOT/README.md")" -le 240 ] || told "it has $(wc -l <"$ROOT/README.md") lines"
    limited 30 env LC_ALL=C.UTF-8 grep -nE '^[^|].{100}' "$ROOT/README.md"
    is_silent
}

@test "each link of README and of the pages leads to a file, and to a heading that is in it" {
    require "needs python3" test -x /usr/bin/python3
    limited 60 "$ROOT/tests/links" "$ROOT"/README.md "$ROOT"/shim/doc/*.md "$ROOT"/shim/README.md "$ROOT"/tests/README.md
    is_status 0
    is_silent
    # Each page is reached from README.
    local page
    for page in "$ROOT"/shim/doc/*.md; do
        grep -q "](shim/doc/${page##*/}[#)]" "$ROOT/README.md" || told "README does not link to ${page##*/}"
    done
}
