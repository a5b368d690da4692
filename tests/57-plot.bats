# run-with-shim.sh --plot TIMELINE: a page that shows it, used here with mouse and keys in browsers without a window. What is seen is
# read from the page's text and from the colours of its pixels.
# shellcheck disable=SC2030,SC2031 # each test has its own lines
load helpers
load wrapper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    wrapper=$ROOT/run-with-shim.sh
}

made() { /usr/bin/python3 -B "$ROOT/tests/fixtures/plot/made.py" "$@"; }

# plotted PAGE TIMELINE...: the page of these is in PAGE, and nothing is said.
plotted() {
    limited "${LIMIT:-60}" sh -c 'out=$1; shift; exec "$@" >"$out"' sh "$1" "$wrapper" --plot "${@:2}"
    is_status 0
    is_silent
}
# in_browser BROWSER PAGE CASE [ARGUMENT...] [+ PAGE CASE...]: the cases of check_plot.py, in one browser.
in_browser() {
    limited 280 /usr/bin/python3 -B "$ROOT/tests/fixtures/plot/check_plot.py" "$@"
    is_status 0
}
chromium() {
    require "needs chromium" command -v chromium
    in_browser chromium "$@"
}
firefox() {
    require "needs firefox-esr" command -v firefox-esr
    in_browser firefox "$@"
}

# ---- what is seen

known() {
    made known >t.1000
    plotted known.html t.1000
}
special() {
    made hostile >'t<b>&"\n.1000'
    plotted hostile.html 't<b>&"\n.1000'
    made threads 200 >t.1002
    plotted crowd.html t.1002
}
@test "Chromium: threads with holds, waits, repairs, a deadlock, losses; the legend; sums by library; in windows of any size" {
    known
    chromium known.html shows + known.html resizes
}
@test "Chromium: threads of a build without the GIL are attached, and wait for pauses" {
    made unlocked >t.1000
    plotted unlocked.html t.1000
    chromium unlocked.html unlocked
}
@test "Chromium: hover tells; wheel, drag, click and double click; keys; finds libraries, functions and threads" {
    known
    chromium known.html mouse + known.html keys + known.html finds
}
@test "Chromium: 200 threads scroll; names that would be markup are text; dark, where the reader's system is" {
    special
    chromium hostile.html hostile + crowd.html crowd
    known
    chromium known.html dark
}
@test "Firefox: the same" {
    known
    special
    firefox known.html shows + known.html resizes + known.html finds + known.html mouse + known.html keys + \
        hostile.html hostile + crowd.html crowd + known.html silent
    firefox known.html dark
}
@test "the page asks for nothing, and may ask for nothing" {
    known
    run ! grep -nE '\b(https?|ftp|wss?):|//[a-z0-9.-]+\.[a-z]{2,}/' known.html
    chromium known.html silent
}

# ---- what is read

# The keys of an event, without their values, as they follow each other in the file.
forms() { grep '^{' "$@" | sed -e 's/":"[^"]*"/":S/g' -e 's/":[0-9.]*/":N/g' -e 's/,$//' | sort -u; }

@test "a real timeline opens; those of made.py have its form" {
    use_python static || use_python shared
    "$ROOT/tests/demo/build" "$PYTHON" modules
    cat >mixed.py <<'PY'
import sys, threading
import engine, codec
if hasattr(sys, "setswitchinterval"): sys.setswitchinterval(1e-5)
def work():
    for i in range(100):
        engine.run(lambda who: None)
        codec.encode(lambda who: sum(range(20000)))
threads = [threading.Thread(target=work) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
PY
    SHIM_OPTIONS=timeline=t works_with env PYTHONPATH=modules "$PYTHON" -S mixed.py
    local file=(t.*) events
    events=$(grep -c '"ph":"[Xi]"' "${file[0]}")
    [ "$events" -gt 500 ] || told "only $events events"
    plotted real.html "${file[0]}"
    chromium real.html real "$events"
    # Each form that a real one has is made, and each that is made is real; "dropped" and a GIL's number are rare.
    forms "${file[0]}" | grep -v '"gil":N' >real-forms
    { made known; made large 1; } | forms | grep -v '"events":N' >made-forms
    comm -3 real-forms made-forms >different
    [ ! -s different ] || told "$(cat different)"
}

# opens_large BROWSER: prints how long it took.
opens_large() {
    local events LIMIT=120
    made large 100 >t.1000
    [ "$(stat -c %s t.1000)" -gt 100000000 ]
    plotted large.html t.1000
    events=$(grep -c '"ph":"[Xi]"' t.1000)
    rm t.1000
    "$1" large.html large "$events"
    echo "# ${lines[0]}" >&3
}
@test "Chromium: 100 MB of timeline open" { opens_large chromium; }
@test "Firefox: 100 MB of timeline open" { opens_large firefox; }

@test "FILE.1 is read before FILE, once, and only if it is of the same process; compressed files" {
    made older >t.1000.1
    made newer >t.1000
    plotted halves.html t.1000
    plotted glob.html t.*
    cmp halves.html glob.html
    made threads 2 >t.1001.1
    sed 's/"pid":1000/"pid":1001/' t.1000 >t.1001
    plotted other.html t.1001
    # t.1 is of process 1, and no half of t.
    cp t.1000 t
    sed 's/"pid":1000/"pid":1/' t.1000.1 >t.1
    plotted first.html t
    gzip t.1000
    plotted one.html t.1000.gz
    gzip t.1000.1
    plotted both.html t.1000.1.gz t.1000.gz
    # Nor is anything a half of a timeline without events: the page may be sent to others.
    printf '[\n\n]\n' >t.1002
    echo 'a secret' >t.1002.1
    plotted empty.html t.1002
    run ! grep -q 'a secret' empty.html
    chromium halves.html halves 40009 + other.html events 40005 + first.html events 40005 + one.html halves 40009 + both.html halves 40009
}
@test "a timeline whose end is missing; several processes; no events" {
    made known >whole
    head -c -3 whole >t.1000 # the bracket
    plotted bracket.html t.1000
    head -c -100 whole >t.1000 # in the middle of a line
    plotted cut.html t.1000
    head -n -2 whole >t.1000 # a comma at the end
    plotted comma.html t.1000
    made threads 2 >t.1001
    plotted two.html whole t.1001
    printf '[\n\n]\n' >t.1002
    plotted nothing.html t.1002
    printf '[\n{"ph":"X","pid":1000,"tid":1000,"name":"holds the GIL","ts":%s,"dur":1,"args":{}},\n' 1 >t.1003
    printf '{"ph":"X","pid":1000,"tid":1000,"name":"holds the GIL","ts":%s,"dur":1,"args":{}}\n]\n' 1e14 >>t.1003
    plotted far.html t.1003
    chromium bracket.html halves 40009 + cut.html halves 40008 cut + comma.html halves 40008 + two.html two_processes + \
        nothing.html nothing + far.html far
}

# It took more than a minute when each was compared with each by what is in it.
@test "forty processes, each with an older half" {
    local pid
    for pid in $(seq 2001 2040); do
        made threads 1 | sed "s/\"pid\":[0-9]*/\"pid\":$pid/" | tee "t.$pid" >"t.$pid.1"
    done
    LIMIT=30 plotted many.html t.*
    [ "$(grep -c 'data-process="39"' many.html)" -eq 2 ]
    run ! grep -q 'data-process="40"' many.html
}

# ---- the command

@test "one line for what can't be drawn, and status 125" {
    made known >timeline
    says() {
        local line=$1
        shift
        limited 20 sh -c 'out=$1; shift; exec "$@" >"$out"' sh out "$wrapper" "$@"
        is_status 125
        [ "${#lines[@]}" -eq 1 ] && has_line "run-with-shim.sh: $line"
        [ ! -s out ] || told "it has printed something"
    }
    says '--plot needs the name of a timeline; see *' --plot
    says '--plot needs the name of a timeline; see *' --plot ''
    says '--plot missing: there is no such file; *' --plot missing
    says '--plot missing: there is no such file; *' --plot timeline missing
    says '--plot .: is a folder; *' --plot .
    mkfifo pipe
    says '--plot pipe: is not a regular file; *' --plot pipe
    says "--plot $ROOT/NEWS: is not a timeline, as -t FILE writes it into FILE.PID; *" --plot "$ROOT/NEWS"
    says '--plot /bin/true: is not a timeline, *' --plot /bin/true
    : >empty
    says '--plot empty: is not a timeline, *' --plot empty
    echo '{"traceEvents":[]}' >other
    says '--plot other: is not a timeline, *' --plot other
    printf '[\n{"name":"a","ph":"X"}\n]\n' >other
    says '--plot other: is not a timeline, *' --plot other
    cp "$ROOT/NEWS" broken.gz
    says '--plot broken.gz: is not a timeline, *' --plot broken.gz
    says '--plot: give it once, *' --plot timeline --plot timeline
    says '--plot, --core and --pid: one of them at a time; *' --plot timeline --pid 1
    says '--plot, --core and --pid: one of them at a time; *' --core x --plot timeline
    limited 20 sh -c '"$0" --plot timeline >/dev/full' "$wrapper"
    is_status 125
    has_line "run-with-shim.sh: can't write the page"
    limited 20 sh -c '"$0" -v --plot timeline >out' "$wrapper"
    is_status 0
    has_line 'run-with-shim.sh: -v: no effect with --plot'
}
@test "without the right to read it" {
    local as=()
    if [ "$(id -u)" = 0 ]; then
        require "needs root and setpriv" command -v setpriv
        as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    fi
    local place
    place=$(mktemp -d /tmp/plot.XXXXXX) # that others can enter
    made threads 1 >"$place/timeline"
    cp "$wrapper" "$ROOT/build/plot.html" "$place"
    chmod 000 "$place/timeline"
    chmod 755 "$place"
    limited 20 "${as[@]}" sh "$place/run-with-shim.sh" --plot "$place/timeline"
    rm -rf "$place"
    is_status 125
    has_line "run-with-shim.sh: --plot $place/timeline: permission denied; *"
}
@test "not to a terminal" {
    require "needs script" command -v script
    made threads 1 >timeline
    limited 20 script -qec "$wrapper --plot timeline" /dev/null
    is_status 125
    has_line 'run-with-shim.sh: --plot prints a page: send it to a file, as in --plot TIMELINE >page.html;*'
}
@test "where the tools keep to POSIX" {
    made known >t.1000
    POSIXLY_CORRECT=1 plotted posix.html t.1000
    plotted plain.html t.1000
    cmp posix.html plain.html
}
@test "names with blanks, dashes and quotes; other shells; the page beside the wrapper" {
    made threads 3 >"-t 'x'.1000"
    plotted expected.html "-t 'x'.1000"
    local shell
    for shell in dash 'bash --posix' bash 'busybox sh' yash posh mksh ksh; do
        command -v "${shell%% *}" || continue
        # shellcheck disable=SC2086 # split on purpose
        limited 20 sh -c 'out=$1; shift; exec "$@" >"$out"' sh page.html $shell "$wrapper" --plot "-t 'x'.1000"
        is_status 0
        is_silent
        cmp page.html expected.html
    done
    mkdir alone
    cp "$wrapper" alone/
    limited 20 alone/run-with-shim.sh --plot "-t 'x'.1000"
    is_status 125
    has_line 'run-with-shim.sh: no plot.html beside *: build it with make'
    cp "$ROOT/build/plot.html" alone/
    wrapper=alone/run-with-shim.sh
    plotted page.html "-t 'x'.1000"
    cmp page.html expected.html
}

# ---- the source

@test "the scripts are valid, and need nothing newer than 2020" {
    require "needs node" command -v node
    local file
    for file in "$ROOT"/shim/plot/*.js; do
        limited 30 node --check "$file"
        is_status 0
    done
    # What was added to the language and its library later.
    run ! grep -nE '\?\?=|\|\|=|&&=|\.at\(|\.replaceAll\(|Object\.hasOwn\(|structuredClone|\.findLast|\.toSorted|\.toReversed|\.with\(|Array\.fromAsync' "$ROOT"/shim/plot/*.js
    # Names get into the page as text only.
    run ! grep -nE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|eval\(|new Function|srcdoc' "$ROOT"/shim/plot/*.js
}
