#!/usr/bin/env bats
# Programs that work bare must not break. Hosts embed Python and use the GIL API legally or with luck (tests/fixtures/hosts). Each is
# run bare first. A host that ends well bare ends well with the shim, with the same output and status, whatever the options.

load ../helpers

# How hosts end that don't end well without the shim: on which versions, and builds if not on all.
# "hangs" and "dies" (CPython's fatal error, an assertion, a crash); "luck": one way or another, so that nothing can be compared.
ends_badly='
borrowed                    dies  3.12-
borrowed                    dies  -3.11 debug
borrowed-state              hangs 3.12-
borrowed-state              dies  -3.11 debug
borrowed-among-others       dies  3.12-
borrowed-among-others       dies  -3.11 debug
borrowed-interpreter        dies  3.12-
borrowed-finalize           dies  3.12-
borrowed-finalize           dies  -3.11 debug
taken-for-another           dies  3.12-
saved-by-another            dies  3.12-
enter-only                  hangs 3.12-
enter-only                  dies  -3.11 debug
one-state                   dies  -3.11 debug
one-state-in-turn           dies  -3.11 debug
qt-pool                     hangs -3.12
qt-pool                     dies  3.13-
checked-out                 dies  -3.11 debug
checked-out-and-ensure      dies  -3.11 debug
checked-out-and-ensure      luck  3.12-
ping-pong                   dies  -3.11 debug
marshalled                  dies  -3.11 debug
aside                       dies  -3.11 debug
py-startup                  dies  3.6-3.11
startup-only                dies  3.13-
freeswitch                  hangs -3.11
release-lock-null           dies  3.9-
icinga                      dies  3.9-
opensips                    dies  3.6-
opensips-mixed              dies  3.6-
pyxpcom                     dies  3.9-
pyobjc                      dies  3.9-
freeradius-swap             dies  3.6-3.11
freeradius-swap-busy        dies  -3.11
bareos                      hangs -3.12
bareos                      dies  3.13-
ceph-mgr                    dies  -3.11 debug
new-interpreter-without-gil dies  3.6-3.11
acquire-lock-end            dies  3.6-
end-release-lock            dies  3.9-
release-unlocked            dies  3.11-3.12
cancel-waiter               hangs 3.6-
taken-up                    dies  -3.11 debug
init-on-another-thread      hangs 3.9-3.12 release
init-on-another-thread      dies  3.9-3.12 debug
init-elsewhere              dies  -3.11 debug
prefork-child-hook          dies  3.13-
pyo                         dies  3.13-3.14 debug
one-state                   dies  3.13-3.14 debug
one-state-in-turn           dies  3.13-3.14 debug
checked-out                 dies  3.13-3.14 debug
checked-out-and-ensure      dies  3.13-3.14 debug
ping-pong                   dies  3.13-3.14 debug
omniorb                     dies  3.13-3.14 debug
tls-destructor              dies  3.13-3.14 debug
marshalled                  dies  3.13-3.14 debug
jep-two                     dies  3.13-3.14 debug
numpy-in-jep                dies  3.13-3.14 debug
ceph-mgr                    dies  3.13-3.14 debug
taken-up                    dies  3.13-3.14 debug
init-elsewhere              dies  3.13-3.14 debug
new-interpreter-without-gil luck  3.13-3.13 debug
init-on-another-thread      dies  3.13-3.14 debug
startup-only                hangs 3.13- free
py-startup                  hangs 3.13- free
pyo                         dies  3.13- free
cancel-waiter               luck  3.13- free
'

# Not with keep=1 (shim/doc/limits.md): Py_Finalize, on the main thread, goes back to the memory of the state that Py_Initialize made.
# The host has freed that, and whoever made a state first has it there, kept until others have freed it.
not_kept='
release-unlocked dies 3.12-
'

# What ends badly bare and well with the shim, and by which repair; and what ends as it does bare, which shim/doc/limits.md names.
mended='
py-startup        oldlock 3.6-3.11
startup-only      oldlock 3.13- gil
release-lock-null oldlock 3.9-
icinga            oldlock 3.9-
opensips          oldlock 3.6-
opensips-mixed    oldlock 3.6- gil
pyxpcom           oldlock 3.9-
pyobjc            oldlock 3.9-
acquire-lock-end  oldlock 3.6-
end-release-lock  oldlock 3.9-
bareos            moved   2.7-
'
limits='
freeradius-swap             dies  3.6-3.11
new-interpreter-without-gil dies  3.6-3.11
cancel-waiter               hangs 3.6- gil
init-on-another-thread      hangs 3.9-3.12 release
startup-only                hangs 3.13- free
opensips-mixed              hangs 3.13- free
'

# lines_for TABLE: the hosts and words of the lines that are for this interpreter. Versions are 3.9-3.11, -3.11 or 3.13-, then
# release or debug, free (free-threaded) or gil (not), or nothing.
lines_for() {
    local threading=gil
    case $PY_TAG in *t | *t-dbg) threading=free ;; esac
    awk -v version="$PY_VERSION" -v build="$PY_BUILD" -v threading=$threading '
        function number(text, parts) { split(text, parts, "."); return parts[1] * 100 + parts[2] }
        NF > 2 && (NF < 4 || $4 == build || $4 == threading) {
            split($3, range, "-")
            if ((range[1] == "" || number(version) >= number(range[1])) && (range[2] == "" || number(version) <= number(range[2])))
                print $1, $2
        }' <<<"$1"
}

# Sets `expected` (host -> well, hangs, dies) and `excepted`, the hosts that are not to be played with keep=1.
read_tables() {
    local host how
    declare -gA expected=() excepted=()
    for host in $("$FIXTURES/hosts-embed"); do expected[$host]=well; done
    while read -r host how; do [ -z "$host" ] || expected[$host]=$how; done < <(lines_for "$ends_badly")
    while read -r host how; do [ -z "$host" ] || excepted[$host]=$how; done < <(lines_for "$not_kept")
}

# What is to hang gets three seconds for it.
setup_file() {
    local host way well=() badly=() served=()
    [ -x "$FIXTURES/hosts-embed" ] || return 0 # a static interpreter without its .a
    read_tables
    for host in "${!expected[@]}"; do
        case ${expected[$host]} in
        well) well+=("$host:60") ;;
        dies) badly+=("$host:60") ;;
        hangs) badly=("$host:3" "${badly[@]}") ;;
        esac
    done
    "$ROOT/tests/fixtures/hosts/play" "$FIXTURES" "$BATS_FILE_TMPDIR" bare "${badly[@]}" "${well[@]}"
    for host in "${well[@]}"; do [ -n "${excepted[${host%:*}]:-}" ] || served+=("$host"); done
    for way in preloaded observed recorded; do
        "$ROOT/tests/fixtures/hosts/play" "$FIXTURES" "$BATS_FILE_TMPDIR" "$way" "${well[@]}"
    done
    "$ROOT/tests/fixtures/hosts/play" "$FIXTURES" "$BATS_FILE_TMPDIR" kept "${served[@]}"
}

setup() {
    [ -x "$FIXTURES/hosts-embed" ] || skip 'a static interpreter has no libpython'
    read_tables
}

# ended FILE: sets `ended` to how.
ended() {
    local text
    text=$(<"$BATS_FILE_TMPDIR/$1")
    case $text in
    *DONE$'\n''status 0') ended=well ;;
    *'status 0') ended='early, without DONE' ;;
    *'status 137') ended=hangs ;;
    *'status 12'[567]) ended='not at all: it could not be run' ;;
    *) ended=dies ;;
    esac
}

@test "hosts without the shim: how each ends" {
    local host ended failed=0
    for host in "${!expected[@]}"; do
        [ "${expected[$host]}" != luck ] || continue
        ended "bare.$host"
        if [ "$ended" != "${expected[$host]}" ]; then
            echo "$host should end so: ${expected[$host]}; it ended so: $ended"
            cat "$BATS_FILE_TMPDIR/bare.$host"
            failed=1
        fi
    done
    [ "$failed" -eq 0 ]
}

# same WAY: each host that ends well bare ends the same this way.
same() {
    local host ended failed=0
    for host in "${!expected[@]}"; do
        if [ "${expected[$host]}" != well ] || [ "$1${excepted[$host]:+:not}" = kept:not ]; then continue; fi
        if cmp -s "$BATS_FILE_TMPDIR/bare.$host" "$BATS_FILE_TMPDIR/$1.$host"; then continue; fi
        ended "$1.$host"
        echo "$host, $1: $ended; bare, and this way:"
        cat "$BATS_FILE_TMPDIR/bare.$host" "$BATS_FILE_TMPDIR/$1.$host"
        failed=1
    done
    [ "$failed" -eq 0 ]
}

@test "hosts with the shim: what ends well bare ends the same" { same preloaded; }
@test "hosts, mode=observe: the same" { same observed; }
@test "hosts, everything recorded and told: the same" { same recorded; }
@test "hosts, keep=1: the same" { same kept; }

@test "hosts that end badly bare and well with the shim, and the repair" {
    local host repair ended failed=0 hosts=()
    while read -r host repair; do hosts+=("$host:60"); done < <(lines_for "$mended")
    "$ROOT/tests/fixtures/hosts/play" "$FIXTURES" "$BATS_FILE_TMPDIR" told "${hosts[@]}"
    while read -r host repair; do
        ended "told.$host"
        [ "$ended" != well ] || ! grep -q "gilshim: repaired $repair: " "$BATS_FILE_TMPDIR/told.$host.log".* || continue
        echo "$host, $repair: $ended"
        cat "$BATS_FILE_TMPDIR/told.$host"*
        failed=1
    done < <(lines_for "$mended")
    [ "$failed" -eq 0 ]
}

@test "hosts that end as badly with the shim as bare (shim/doc/limits.md)" {
    local host how ended failed=0 hosts=()
    while read -r host how; do
        if [ "$how" = hangs ]; then hosts+=("$host:3"); else hosts+=("$host:60"); fi
    done < <(lines_for "$limits")
    "$ROOT/tests/fixtures/hosts/play" "$FIXTURES" "$BATS_FILE_TMPDIR" told "${hosts[@]}"
    while read -r host how; do
        [ -n "$host" ] || continue
        ended "told.$host"
        [ "$ended" != "$how" ] || continue
        echo "$host should end so: $how; it ended so: $ended"
        cat "$BATS_FILE_TMPDIR/told.$host"
        failed=1
    done < <(lines_for "$limits")
    [ "$failed" -eq 0 ]
}

# From 3.12 on Swap(NULL) gives the GIL.
@test "hosts, stall: who took its state off and kept the GIL is in the first line" {
    python_before 3.12 || return 0
    require "$NEEDS_KERNEL" has_kernel
    SHIM_OPTIONS=stall=1 LIMIT=5 with_shim "$FIXTURES/hosts-embed" freeswitch
    is_status 137
    has_line '*stall: *"hosts-embed", which holds the GIL without a thread state (since PyThreadState_Swap by libgilhosts.so!freeswitch+0x*'
    has_line '*advice: PyThreadState_Swap(NULL) *'
}
