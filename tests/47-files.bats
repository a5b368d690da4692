# Files and streams: the shim writes only where the user asked for it, destroys nothing that exists, and its writes never end,
# stop, delay or signal the host.

# shellcheck disable=SC2030,SC2031 # each test has its own command
load helpers

setup_file() {
    use_python static || use_python shared
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    LIMIT=60
    # What the programs of these tests have in common: something to report.
    cat >common.py <<PY
import os, signal, sys
sys.path.insert(0, '$FIXTURES')
import misuse
PY
}

# program NAME: from standard input, behind common.py.
program() {
    cat common.py - >"$1.py"
    command=("$PYTHON" -S "$1.py")
}
# mixes [BEFORE]: a program that has something repaired, after those lines of Python.
mixes() { program mixes <<<"${1:-}
misuse.run('mix')
sys.stdout.write('done\\n')"; }

# Runs it with "$1", in a shell whose process it takes over: \$\$ is its pid.
after() { with_shim sh -c "$1; shift; exec \"\$@\"" - - "${command[@]}"; }

judge() {
    without python3 "$ROOT/tests/fixtures/stall/check_timeline.py" "$1" closed
    is_status 0
}

# ---- signals that a write brings

everything=verbosity=2:history=16:summary=1

@test "a limit of the file's size: the host gets no SIGXFSZ, whatever meets it" {
    local options limit
    program limited <<'PY'
import resource, threading
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
for i in range(20):
    threading.Thread(target=misuse.run, args=('mix',)).run()
assert not signal.sigpending()
os.write(1, b"done\n")
PY
    for limit in 0 300 2000; do
        command=("$PYTHON" -S limited.py "$limit")
        for options in "$everything" "$everything:log_path=$PWD/log" "$everything:log_format=json:log_path=$PWD/json" \
            "$everything:timeline=$PWD/t"; do
            SHIM_OPTIONS=$options works_with sh -c '"$@" 2>err' - "${command[@]}"
            has_line 'done'
        done
    done
}

@test "a SIGXFSZ and a SIGPIPE that the program holds back stay its own" {
    program pending <<'PY'
import resource
numbers = [signal.SIGXFSZ, signal.SIGPIPE]
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
for number in numbers: signal.raise_signal(number)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, -1))
misuse.run('mix')
assert signal.sigpending() == set(numbers), signal.sigpending()
for number in numbers: signal.sigwait([number])
misuse.run('attach')
assert not signal.sigpending(), signal.sigpending()
PY
    sed -i "s/^misuse.run('attach')$/misuse.run('mix')/" pending.py
    require "no signal.raise_signal before 3.8" python_from 3.8
    SHIM_OPTIONS=$everything:log_path=$PWD/log works_with "${command[@]}"
    SHIM_OPTIONS=$everything works_with sh -c '{ "$@" 2>&3; echo $? >status; } 3>&1 >/dev/null | true; read -r status <status; exit "$status"' - "${command[@]}"
}

@test "a timeline that meets the limit is whole, with all that fitted" {
    cat >limited.py <<'PY'
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, -1))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
PY
    SHIM_OPTIONS=timeline=$PWD/t works_with "$PYTHON" limited.py "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" often 1000
    has_line "*warning: can't write any more of the timeline \"$PWD/t.*\": the limit of a file's size is reached"
    [ "$(stat -c %s t.*)" -gt 15000 ] || told "$(stat -c %s t.*) bytes"
    judge t.*
}

@test "a terminal that stops background processes which write (stty tostop) stops none for the shim's messages" {
    mixes
    cat >background.py <<'PY'
import os, pty, signal, sys, termios
pid, master = pty.fork()
if pid == 0:
    attributes = termios.tcgetattr(0)
    attributes[3] |= termios.TOSTOP
    termios.tcsetattr(0, termios.TCSANOW, attributes)
    out = os.open("out", os.O_WRONLY | os.O_CREAT, 0o600)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.dup2(out, 1)
        os.execve(sys.argv[1], sys.argv[1:], os.environ)
    pid, status = os.waitpid(child, os.WUNTRACED)
    os.kill(child, signal.SIGKILL) if os.WIFSTOPPED(status) else None
    os._exit(77 if os.WIFSTOPPED(status) else os.WEXITSTATUS(status))
try:
    while os.read(master, 4096): pass
except OSError:
    pass
sys.exit(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
PY
    without python3 background.py "$(type -P env)" \
        LD_PRELOAD="$GILSHIM_LIB" GILSHIM_OPTIONS="$everything" "${command[@]}"
    is_status 0
    [ "$(cat out)" = 'done' ]
}

# ---- a reader that does not read

@test "stderr is a pipe that nobody reads: a second in all, not one for each line; with Python's own stack, too" {
    mixes
    cat >stuck.py <<'PY'
import os, subprocess, sys, time
r, w = os.pipe()
os.set_blocking(w, False)
try:
    while True: os.write(w, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(w, True)
def seconds(preload):
    start = time.time()
    environment = dict(os.environ, **preload)
    subprocess.run(sys.argv[3:], stderr=w, stdout=subprocess.DEVNULL, env=environment, check=True)
    return time.time() - start
silent, shim = [seconds({"LD_PRELOAD": sys.argv[1], "GILSHIM_OPTIONS": options}) for options in ("", sys.argv[2])]
print("%.1f s, silent %.1f s" % (shim, silent))
sys.exit(shim - silent > 8)
PY
    LIMIT=40 without python3 stuck.py "$GILSHIM_LIB" "$everything" "${command[@]}"
    is_status 0
    # So many lines are there that a second for each would be noticed.
    SHIM_OPTIONS=$everything works_with "${command[@]}"
    [ "${#lines[@]}" -ge 20 ] || told "${#lines[@]} lines"
}

# ---- what is there already under the file's name

@test "a FIFO under the log's or the timeline's name: not waited for, and not opened" {
    mixes
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/log after 'mkfifo log.$$'
    is_status 0
    has_line "==*== gilshim: warning: can't write the log file \"$PWD/log.*\": it is not an ordinary file; using stderr instead"
    has_line '*repaired held*'
    SHIM_OPTIONS=timeline=$PWD/t after 'mkfifo t.$$'
    is_status 0
    judge t.*-2
}

@test "a hard link, a symbolic link, another user's file under their names: left as they are" {
    mixes
    echo precious >victim
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/log after 'ln victim log.$$'
    has_line "*warning: can't write the log file *: it has a second name (a hard link); using stderr instead"
    SHIM_OPTIONS=timeline=$PWD/t after 'ln victim t.$$'
    is_status 0
    judge t.*-2
    SHIM_OPTIONS=timeline=$PWD/u after 'ln -s victim u.$$'
    judge u.*-2
    [ "$(cat victim)" = precious ]
    require "needs root to make a set-uid program" [ "$(id -u)" = 0 ]
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/m after 'echo theirs >m.$$; chown nobody m.$$'
    has_line "*warning: can't write the log file *: it belongs to another user; using stderr instead"
    [ "$(cat m.*)" = theirs ]
}

@test "what they make is for their user's eyes" {
    mixes
    umask 022
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/log:timeline=$PWD/t works_with "${command[@]}"
    [ "$(stat -c %a log.* t.* | sort -u)" = 600 ]
}

@test "a timeline that is there already is kept: exec of another Python, or an equal pid" {
    cat >execs.py <<'PY'
import os, runpy, sys
again = sys.argv.pop(0)
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
rest = sys.argv[-1][1:]
if rest: os.execv(sys.executable, [sys.executable, '-S', again] + sys.argv[:-1] + [rest])
PY
    SHIM_OPTIONS=timeline=$PWD/t:history=16 works_with "$PYTHON" -S execs.py "$ROOT/tests/fixtures/stall/stall.py" "$ROOT/build/fixtures" often 555
    local files=(t.*)
    [ "${#files[@]}" -eq 3 ] || told "${files[*]}"
    [ "${files[1]} ${files[2]}" = "${files[0]}-2 ${files[0]}-3" ]
    local file
    for file in "${files[@]}"; do
        judge "$file"
    done
    mixes
    # Nor is what has the name of the older half.
    SHIM_OPTIONS=timeline=$PWD/u after 'echo precious >u.$$.1'
    [ "$(cat u.*.1)" = precious ]
    judge u.*-2
}

# ---- streams

@test "the program's own file has descriptor 2 or 1: nothing of the shim's gets into it" {
    local options how
    LIMIT=20
    for options in "$everything:log_format=json" "$everything:log_path=stdout" mode=observe:exitcode=9:history=8:summary=1 \
        mode=strict; do
        # From 3.12 on CPython itself ends the process then, in its own words.
        case $options in mode=observe*) python_before 3.12 || continue ;; esac
        for how in close started_without in_child in_abort; do
            program daemon <<PY
how = "$how"
if how == "in_child" and os.fork(): sys.exit(os.wait()[1] >> 8)
for fd in 1, 2:
    try: os.close(fd)
    except OSError: pass
files = [os.open("database%d" % i, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600) for i in (1, 2)]
assert files == [1, 2], files
for fd in files: os.write(fd, b"important")
if how == "in_abort":
    if os.fork() == 0: misuse.run("fatal")
    os.wait()
    for fd in files: os.ftruncate(fd, 9) # CPython's own words
misuse.run("mix")
PY
            if [ $how = started_without ]; then
                SHIM_OPTIONS=$options with_shim sh -c '"$@" >&- 2>&-' - "${command[@]}"
            else
                SHIM_OPTIONS=$options with_shim "${command[@]}"
            fi
            [ "$(cat database1)$(cat database2)" = importantimportant ] ||
                told "$options, $how: $(cat database1) $(cat database2)"
        done
    done
}

@test "where a program puts its stderr on purpose (dup2, dup3, freopen), messages follow" {
    local how
    for how in 'os.dup2(fd, 2)' 'ctypes.CDLL(None).dup3(fd, 2, 0)' \
        'ctypes.CDLL(None).freopen(b"elsewhere", b"a", ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr"))'; do
        rm -f elsewhere
        program redirects <<PY
import ctypes
ctypes.CDLL(None).freopen.restype = ctypes.c_void_p
fd = os.open("elsewhere", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
$how
misuse.run("mix")
PY
        SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
        is_silent
        grep -q 'repaired held' elsewhere || told "$how"
    done
}

# What a child of vfork does to its descriptors is not the parent's doing.
@test "a child's stderr is not taken for the parent's" {
    mixes "
import subprocess
for i in range(3): subprocess.check_call(['true'], stderr=subprocess.DEVNULL)"
    SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
    has_line '*repaired held*'
}

# ---- names

@test "%e is the name by which the program was started, whatever it writes over it; %h and %e have no slash" {
    mkdir logs
    program titled <<'PY'
import ctypes
name = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "program_invocation_short_name")
ctypes.memmove(name, b"x/../../y", 10)
if os.fork() == 0:
    misuse.run('mix')
    os._exit(0)
os.wait()
PY
    ln -s "$PYTHON" a-python-with-a-long-name
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/logs/%e works_with env PYTHONHOME="$("$PYTHON" -c 'import sys; print(sys.prefix)')" \
        ./a-python-with-a-long-name -S titled.py
    [ "$(cd logs && echo a-python-with-a-long-name.*)" != 'a-python-with-a-long-name.*' ] || told "$(find .)"
    [ -z "$(find . -name 'y*')" ]
    mixes
    require "needs root and mount namespaces" unshare --uts true
    SHIM_OPTIONS=verbosity=1:log_path=$PWD/logs/%h works_with unshare --uts sh -c 'printf ../../h >/proc/sys/kernel/hostname; exec "$@"' - "${command[@]}"
    [ "$(cd logs && echo _._.._h.*)" != '_._.._h.*' ] || told "$(find .)"
}

@test "a name with a newline or an escape sequence in it makes no line of its own" {
    program named <<'PY'
import ctypes
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0) # threads inherit it
misuse.run('mix')
PY
    command+=($'e\n==1== a\e[8m')
    SHIM_OPTIONS=$everything:color=always works_with "${command[@]}"
    has_line '*repaired held*"e?==1== a?\[8m"*'
    has_no_line '==1==*'
    has_no_line $'*\e\[8m*'
    has_line $'*\e\[0m*' # the shim's own
    SHIM_OPTIONS=$everything:log_path=/nowhere/log$'\n'==1== works_with "${command[@]}"
    has_no_line '==1==*'
}

@test "GILSHIM_OPTIONS may be long" {
    mixes
    local padding
    padding=$(printf 'verbosity=0:%.0s' $(seq 1000))
    SHIM_OPTIONS=$padding:verbosity=1:log_path=$PWD/log works_with "${command[@]}"
    grep -q 'repaired held' log.*
    SHIM_OPTIONS=$padding:frob=1 works_with "${command[@]}"
    has_line '*warning: unknown option "frob"*'
}

@test "relative names are those of the folder in which the program was started" {
    mkdir elsewhere start start/%p
    echo held:engine.so >start/%p/rules
    program goes <<'PY'
os.chdir(sys.argv[1])
if os.fork() == 0:
    misuse.run('mix')
    sys.exit(0)
os.wait()
PY
    command=("$PYTHON" -S "$PWD/goes.py" "$PWD/elsewhere")
    SHIM_OPTIONS=verbosity=1:log_path=log:timeline=t:suppressions=rules works_with sh -c 'cd start/%p; "$@"' - "${command[@]}"
    is_silent
    [ -z "$(ls elsewhere)" ]
    [ "$(find start/%p -name 'log.*' | wc -l) $(find start/%p -name 't.*' | wc -l)" = '2 2' ] || told "$(find .)"
    mkdir gone
    SHIM_OPTIONS=verbosity=1:log_path=log:timeline=t works_with sh -c 'cd gone; rmdir ../gone; "$@"' - "${command[@]}"
    has_line '*warning: log_path= is relative to a folder that has been deleted; using stderr instead'
    has_line '*warning: timeline= is relative to a folder that has been deleted; no timeline is written'
    has_line '*repaired held*'
    [ -z "$(ls elsewhere)" ]
}

@test "a device is written to as it is; a folder and a clash are refused in one line" {
    mixes
    local option
    for option in log_path timeline; do
        SHIM_OPTIONS=$option=/dev/null works_with "${command[@]}"
        [ "$output" = 'done' ]
        SHIM_OPTIONS=$option=/dev/nul works_with "${command[@]}"
        [ "$(count_lines "*warning: can't write *\"/dev/nul.*\": there is no such device*")" -eq 1 ]
        SHIM_OPTIONS=$option=$PWD works_with "${command[@]}"
        [ "$(count_lines "*warning: can't write *\"$PWD\": it is a folder*")" -eq 1 ]
    done
    [ "$(find /dev -maxdepth 1 -name 'nul*')" = /dev/null ]
    SHIM_OPTIONS=verbosity=1:log_path=/dev/stderr works_with sh -c '"$@" 2>err' - "${command[@]}"
    grep -q 'repaired held' err
    local same
    for same in x:timeline=x x:timeline=x.%p x.%p:timeline=./x; do
        SHIM_OPTIONS=verbosity=1:log_path=${same/.\//$PWD/} works_with "${command[@]}"
        grep -q 'log_path= and timeline= name the same file; no timeline is written' x.*
        grep -q 'repaired held' x.*
        rm x.*
    done
}

# ---- the exit status

@test "exitcode=: every library's destructor runs, and nobody waits for a thread that reads stdin" {
    printf '#include <stdio.h>\n__attribute__((destructor)) static void save(void) { FILE *f = fopen("saved", "w"); if (f) { fputs("saved", f); fclose(f); } puts("from a destructor"); }\n' >behind.c
    gcc -shared -fPIC -o behind.so behind.c
    mkfifo in
    local end
    for end in 'sys.exit(0)' 'ctypes.CDLL(None).exit(0)' 'os._exit(0)' 'ctypes.CDLL(None).quick_exit(0)'; do
        rm -f saved
        program ends <<PY
import ctypes, threading
thread = threading.Thread(target=ctypes.CDLL(None).getchar)
thread.daemon = True
thread.start()
misuse.run('mix')
$end
PY
        # glibc 2.41's exit waits for a thread that reads stdin, by itself.
        LIMIT=5 without sh -c 'exec <>in; exec "$@"' - "$PYTHON" -S -c "$(sed /misuse.run/d ends.py)"
        [ "$status" -ne 137 ] || continue
        LIMIT=20
        SHIM_OPTIONS=verbosity=1:exitcode=9 with_shim sh -c 'exec <>in; LD_PRELOAD=$LD_PRELOAD:$PWD/behind.so exec "$@"' - "${command[@]}"
        is_status 9
        case $end in *_exit*) continue ;; esac
        [ "$(cat saved)" = saved ] || told "$end"
    done
    # What is not reported changes nothing.
    mixes
    SHIM_OPTIONS=exitcode=9 works_with "${command[@]}"
    SHIM_OPTIONS=verbosity=1:exitcode=9:repair=none works_with "$PYTHON" -S -c pass
}
