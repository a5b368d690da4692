# The man page, the wrapper's help, the library's list of options and the completion are well-formed, and they agree.

load helpers
load wrapper

setup() {
    wrapper=$ROOT/run-with-shim.sh
    library=$(readlink -f "$GILSHIM_LIB")
    page=$ROOT/shim/dist/gilshim.1
    cd "$BATS_TEST_TMPDIR" || return
}

# The wrapper's options, one a line, sorted: as the man page and as -h have them.
options_of_page() {
    sed -n '/^\.Sh OPTIONS/,/^\.Sh ENVIRONMENT/p' "$page" | sed -n 's/^\.It Fl //p' |
        sed 's/ Ar .*//; s/ , Fl /\n/g' | sed 's/^Fl /-/; s/^/-/' | sort
}
options_of_help() { "$wrapper" -h | sed -n 's/^  \(-.*\)/\1/p' | sed 's/  .*//; s/ [A-Z]*$//; s/, /\n/g' | sort; }
# The keys with their values and defaults: `mode=repair|off (repair)`.
keys_of_page() { sed -n 's/^\.It Cm \(.*=.*\) Pq \(.*\)/\1 (\2)/p' "$page" | sort; }
keys_of_library() { "$wrapper" --options | sed -n 's/^gilshim:   \([a-z_]*=[^ ]*\)  (default \(.*\))  .*/\1 (\2)/p' | sort; }
# What bash would offer behind these words.
completed() {
    bash -c 'source "$1" && shift && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _run_with_shim &&
        printf "%s\n" "${COMPREPLY[@]}"' - "$ROOT/shim/dist/run-with-shim.bash" run-with-shim.sh "$@" | sort -u
}

# What zsh and fish would offer.
completed_by_zsh() { timeout -s KILL 60 "$ROOT/tests/fixtures/completion/zsh-offers" "$ROOT/shim/dist/run-with-shim.zsh" "run-with-shim.sh $*" </dev/null 3>&-; }
completed_by_fish() {
    HOME=$PWD timeout -s KILL 60 fish --no-config -c 'source $argv[1]; complete -C "run-with-shim.sh $argv[2]"' \
        "$ROOT/shim/dist/run-with-shim.fish" "$*" </dev/null 3>&- | cut -f 1 | sort -u
}

# The members of all JSON objects, as the sources write them; --check's own are in shim/doc/options.md.
members_of_sources() {
    cat "$ROOT"/shim/{process,diagnose,inspect}/*.c | tr -d '\n' |
        grep -oE '(json_(string|number|hex|seconds|bool|open)|symbol_json|add_lock_json)\((&?json), *([^",]*\? *)?"[a-z_]+"( *: *"[a-z_]+")?' |
        grep -oE '"[a-z_]+"' | tr -d '"' | sort -u
}
# shellcheck disable=SC2016 # the page's backticks
members_of_page() { grep -oE '`[a-z_]+`' "$ROOT/shim/doc/json.md" | tr -d '`' | sort -u; }
# shellcheck disable=SC2016
members_in_tables() { sed -n 's/^| \(`[^|]*\)|.*/\1/p' "$ROOT/shim/doc/json.md" | grep -oE '[a-z_]+' | sort -u; }

same() { diff "$1" "$2" || told "$1 (<) and $2 (>) differ"; }

@test "groff and mandoc have nothing to say against the man page" {
    require "needs man, groff and mandoc" sh -c 'command -v man && command -v groff && command -v mandoc'
    limited 60 env MANWIDTH=80 man --warnings -l "$page"
    is_status 0
    has_line 'GILSHIM(1)*'
    has_line 'NAME*'
    limited 60 sh -c 'man --warnings -l "$1" 2>&1 >/dev/null' - "$page"
    is_silent
    limited 60 sh -c 'groff -ww -mdoc -Tutf8 "$1" 2>&1 >/dev/null' - "$page"
    is_silent
    limited 60 mandoc -Tlint -W warning "$page"
    is_status 0
    is_silent
}

@test "the man page has every section, in the usual order" {
    [ "$(sed -n 's/^\.Sh //p' "$page" | tr '\n' ',')" = "NAME,SYNOPSIS,DESCRIPTION,OPTIONS,ENVIRONMENT,FILES,EXIT STATUS,EXAMPLES,LIMITATIONS,SEE ALSO," ]
}

@test "json.md has each member of the JSON objects, and no other" {
    members_of_sources >sources
    members_of_page >page
    members_in_tables >tables
    [ "$(wc -l <sources)" -gt 90 ]
    comm -23 sources page >missing
    [ ! -s missing ] || told "not in the page: $(tr '\n' ' ' <missing)"
    comm -13 sources tables >unknown
    [ ! -s unknown ] || told "in no source: $(tr '\n' ' ' <unknown)"
}

@test "the man page and -h have the same options, and the wrapper takes them" {
    options_of_page >page-options
    options_of_help >help-options
    [ "$(wc -l <page-options)" -ge 14 ]
    same page-options help-options
    # Those that it takes are not unknown; one that is neither in the page nor in -h is.
    local option
    while IFS= read -r option; do
        wrapped "$option" # without a command or an argument
        has_no_line '*unknown option*'
    done <page-options
    for option in a b e f g i k l n r u w x y z A D M O T; do
        wrapped -$option true
        is_status 125
        has_line "run-with-shim.sh: unknown option -$option*"
    done
}

@test "the man page's keys, values and defaults are the library's" {
    keys_of_page >page-keys
    keys_of_library >library-keys
    [ "$(wc -l <library-keys)" -ge 6 ]
    same page-keys library-keys
    # The repairs by name.
    local name
    while IFS= read -r name; do
        sed -n '/^\.It Cm repair=/,/^\.It/p' "$page" | grep -qw "$name" || told "the man page does not name repair $name"
        "$wrapper" --options | grep '^gilshim:   repair=' | grep -qw "$name" || told "help=1 does not name repair $name"
    done < <(sed -n 's/^REPAIR(\([a-z]*\),.*/\1/p' "$ROOT/shim/repairs.def")
}

@test "the man page names every kind of report" {
    local name names=0
    sed -n '/^\.It Pa suppressions/,/^\.El/p' "$page" >suppressions
    while IFS= read -r name; do
        grep -qw "^\.Cm $name" suppressions || told "the man page does not name $name"
        names=$((names + 1))
    done < <(sed -n 's/^REPORT(\([a-z_]*\),.*/\1/p' "$ROOT/shim/reports.def")
    # Nor one that there is not; called_from_lib is none.
    [ "$(grep -c '^\.Cm' suppressions)" -eq $((names + 1)) ]
    [ "$names" -gt 10 ]
}

@test "the wrapper's modes are the library's" {
    local modes mode
    modes=$("$wrapper" --options | sed -n 's/^gilshim:   mode=\([^ ]*\) .*/\1/p' | tr '|' ' ')
    for mode in $modes; do
        wrapped -q -m "$mode" true
        is_status 0
    done
    [ "$(completed -m '' | tr '\n' ' ')" = "$(tr ' ' '\n' <<<"$modes" | sort | tr '\n' ' ')" ]
}

@test "completion offers the options, and arguments of the right kind" {
    options_of_help >help-options
    completed - | grep -vx -e -- >completed-options
    same completed-options help-options
    mkdir here && touch here/file # no other name here begins so
    local option
    for option in -o -t -S -vo; do
        [ "$(completed $option her)" = here ] || told "behind $option"
    done
    [ -z "$(completed -s '')" ]
    [ "$(completed -v -m obs)" = observe ]
    [ "$(completed -c '' | tr '\n' ' ')" = "all calls locks " ]
    [ "$(completed -vc ca)" = calls ]
}

@test "completion of the command: programs, then files, and its own options are left alone" {
    completed printen | grep -qx printenv
    completed -v -o log -- printen | grep -qx printenv
    completed -s 5 printen | grep -qx printenv
    touch file
    [ "$(completed printenv fil)" = file ]
    [ -z "$(completed printenv -)" ]
    [ -z "$(completed -- printenv -)" ]
}

@test "completion hands the command over to bash-completion where that is loaded" {
    limited 30 bash -c '_command_offset() { echo "offset $1"; }; source "$1" && shift &&
        COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _run_with_shim' - "$ROOT/shim/dist/run-with-shim.bash" run-with-shim.sh -o log tar x
    is_status 0
    [ "$output" = "offset 3" ]
    limited 30 bash -c 'source "$1" && complete -p run-with-shim.sh' - "$ROOT/shim/dist/run-with-shim.bash"
    has_line 'complete -F _run_with_shim run-with-shim.sh'
}

# What holds for zsh and for fish: their function is $1.
completes_as_bash_does() {
    options_of_help >help-options
    "$1" - >dash && "$1" -- >dashes # zsh and fish offer -x for the first, or --xx too
    sort -u dash dashes | grep -vx -e - -e -- >options
    same options help-options
    [ "$("$1" '-m ' | tr '\n' ' ')" = "observe off repair strict " ]
    [ "$("$1" '-v -m obs')" = observe ]
    [ "$("$1" '-vc ' | tr '\n' ' ')" = "all calls locks " ]
    mkdir here
    touch here/file # no other name here begins so
    local option
    for option in -o -t -S -vo; do
        [[ $("$1" "$option her") =~ ^here/?$ ]] || told "behind $option: $("$1" "$option her")"
    done
    [ -z "$("$1" '-s ')" ]
    # The command: programs, then files, and its own options are left alone.
    "$1" printen | grep -qx printenv
    "$1" '-v -o log -- printen' | grep -qx printenv
    "$1" '-s 5 printen' | grep -qx printenv
    [[ $("$1" 'cat her') =~ ^here/?$ ]]
    [[ $("$1" '-- cat her') =~ ^here/?$ ]]
    run ! grep -x -e -m <("$1" 'printenv -')
}

@test "zsh completes as bash does" {
    require "needs zsh" command -v zsh
    completes_as_bash_does completed_by_zsh
}

@test "fish completes as bash does" {
    require "needs fish" command -v fish
    completes_as_bash_does completed_by_fish
}
