# The recipes of shim/doc/containers.md and services.md: each block of YAML, JSON, XML and ini is one, and each recipe whose tool is
# here is tried as it stands, but for the folders. (The Dockerfile: 50-install.bats.) Each starts an application (tests/fixtures/services) that hangs or dies bare.

# shellcheck disable=SC2154 # pid and program: set by hang

load helpers
load hanging

SERVICES=shim/doc/services.md
CONTAINERS=shim/doc/containers.md

setup() {
    use_python static || use_python shared
    require "needs Debian's python3" test "$PYTHON" = "$(readlink -f /usr/bin/python3)"
    cd "$BATS_TEST_TMPDIR" || return
    "$ROOT/tests/demo/build" "$PYTHON" .
    cp "$ROOT/tests/fixtures/services/application.py" .
    library=$(readlink -f "$GILSHIM_LIB")
}
teardown() {
    unhang
    cat log ./*.log 2>/dev/null || :
}

# block PAGE WORDS: the page's block of code that has these words in it, with the folders of this machine.
block() {
    awk -v wanted="$2" '
        /^```/ { if (inside && found) { printf "%s", text; exit }; inside = !inside; text = ""; found = 0; next }
        inside { if (index($0, wanted)) found = 1; text = text $0 "\n" }
    ' "$ROOT/$1" | sed -e 's|/out/usr/local|/out/USR|g' -e "s|/usr/local/lib/libgilshim.so|$library|g" -e 's|/USR|/usr/local|g' -e "s|/srv/my-application/[a-z]*\.py|$PWD/application.py|" \
        -e "s|run-with-shim.sh|$ROOT/run-with-shim.sh|" >block
    [ -s block ] || told "$1 has no block with: $2"
}

free_port() { "$PYTHON" -S -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# ask PORT: what the server there answers, once it listens.
ask() {
    output=$(timeout -s KILL 60 "$PYTHON" -S -c 'import sys, time, urllib.request
end = time.monotonic() + 30
while True:
    try:
        print(urllib.request.urlopen("http://127.0.0.1:%s/" % sys.argv[1], timeout=20).read().decode())
        break
    except OSError as error:
        if time.monotonic() > end or "refused" not in str(error):
            sys.exit(str(error))
        time.sleep(0.1)' "$1" 2>&1 3>&- </dev/null) && status=0 || status=$?
}
# serves COMMAND: this shell command, in the background with its messages in the file log, answers on port $port, with a repair.
serves() {
    hang sh -c "exec 2>log; $1"
    ask "$port"
    is_status 0
    [ "$output" = answered ] || told "not the answer"
    until_so grep -q 'gilshim: repaired held: ' log
}

@test "the application hangs or dies bare" {
    fails_without "$PYTHON" -S application.py
    works_with "$PYTHON" -S application.py
}

@test "each block of the pages is what its name says" {
    require "needs python3-yaml" "$PYTHON" -c 'import yaml'
    limited 60 "$PYTHON" -c '
import collections, configparser, json, re, subprocess, sys, xml.dom.minidom, yaml
def ini(text):
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    assert parser.sections()
def shell(text):
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
def dockerfile(text):
    for step in re.sub(r"\\\n", " ", text).splitlines():
        assert re.match(r"(FROM|RUN|COPY|ENV|CMD|ENTRYPOINT) \S|#|$", step), step
        if step.startswith(("CMD", "ENTRYPOINT")):
            json.loads(step.split(" ", 1)[1])
def crontab(text):
    for line in text.splitlines():
        assert re.match(r"[A-Z_]+=\S+$|(\S+ ){5}/\S", line), line
parsers = {"yaml": lambda text: list(yaml.safe_load_all(text)), "json": json.loads, "xml": xml.dom.minidom.parseString, "ini": ini,
           "sh": shell, "dockerfile": dockerfile, "crontab": crontab}
seen = collections.Counter()
for page in sys.argv[1:]:
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", open(page).read(), flags=re.M | re.S):
        parsers[kind](text)
        seen[kind] += 1
assert set(seen) == set(parsers), seen' "$ROOT/$SERVICES" "$ROOT/$CONTAINERS"
    is_status 0
}

@test "Kubernetes: the init container fills the volume, and the container's variables repair" {
    require "needs python3-yaml" "$PYTHON" -c 'import yaml'
    block "$CONTAINERS" initContainers:
    mkdir -p out/usr/local/lib gilshim
    cp "$library" out/usr/local/lib/
    # Checks what refers to what, and prints the init container's command and the variables, for the folders here.
    limited 60 "$PYTHON" -c '
import shlex, yaml
spec = yaml.safe_load(open("block"))["spec"]["template"]["spec"]
init, main = spec["initContainers"][0], spec["containers"][0]
volumes = {volume["name"] for volume in spec["volumes"]}
for container in init, main:
    (mount,) = container["volumeMounts"]
    assert mount["name"] in volumes and mount["mountPath"] == "/gilshim", mount
here = lambda path: "." + path if path.startswith("/") else path
print(" ".join(shlex.quote(here(word)) for word in init["command"]))
print(" ".join(shlex.quote("%s=%s" % (pair["name"], here(pair["value"]))) for pair in main["env"]))'
    is_status 0
    local commands=("${lines[@]}")
    limited 60 sh -c "${commands[0]}"
    is_status 0
    [ -e gilshim/libgilshim.so ]
    limited 60 sh -c "env ${commands[1]//.\/gilshim/$PWD\/gilshim} $PYTHON -S application.py"
    is_status 0
    has_line '*gilshim: repaired held: *'
}

@test "gunicorn" {
    require "needs gunicorn" test -x /usr/bin/gunicorn
    block "$SERVICES" ' gunicorn application'
    port=$(free_port)
    serves "$(cat block) -b 127.0.0.1:$port"
    unhang
    # As the page says, too late.
    echo "raw_env = ['LD_PRELOAD=$library']" >late.py
    hang sh -c "exec gunicorn -c late.py -b 127.0.0.1:$port application:application"
    until_so pgrep -P "$pid"
    run ! grep libgilshim "/proc/$pid/maps" "/proc/$(pgrep -P "$pid" | head -n 1)/maps"
}

@test "uwsgi" {
    require "needs uwsgi and its plugin for Python" sh -c 'command -v uwsgi && ls /usr/lib/uwsgi/plugins/python3*_plugin.so'
    block "$SERVICES" 'http-socket'
    port=$(free_port)
    sed "s/:8000/:$port/" block >uwsgi.ini
    block "$SERVICES" 'uwsgi --ini'
    serves "$(cat block)"
}

@test "supervisord" {
    require "needs supervisord" command -v supervisord
    block "$SERVICES" 'program:my-application'
    {
        printf '%s\n' '[supervisord]' "pidfile=$PWD/pid" "logfile=$PWD/supervisord.log" "childlogdir=$PWD"
        sed "s|/var/log/|$PWD/|; s|^command=.*|&|" block
        echo "directory=$PWD"
    } >supervisord.conf
    hang supervisord -n -c supervisord.conf
    until_so grep -qx answered my-application.log
    until_so grep -q 'gilshim: repaired held: ' my-application.log
    # Not supervisord itself, whose process this is.
    run ! grep libgilshim "/proc/$pid/maps"
}

@test "a Jupyter kernel" {
    require "needs ipykernel and jupyter_client" "$PYTHON" -c 'import ipykernel, jupyter_client'
    block "$SERVICES" ipykernel_launcher
    export HOME=$PWD PYTHONPATH=$PWD
    mkdir -p .local/share/jupyter/kernels/gilshim
    sed "s|/tmp/gilshim-kernel|$PWD/kernel|" block >.local/share/jupyter/kernels/gilshim/kernel.json
    limited 120 "$PYTHON" -c '
import jupyter_client.manager
manager, client = jupyter_client.manager.start_new_kernel(kernel_name="gilshim")
try:
    def show(message):
        if message["msg_type"] == "stream":
            print(message["content"]["text"])
    client.execute_interactive("import application; print(application.work())", timeout=60, output_hook=show)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)'
    is_status 0
    has_line answered
    grep -q 'gilshim: repaired held: ' kernel.*.log
}

@test "sudo: drops the preload; behind it the wrapper works" {
    require "needs sudo without a password" sudo -n true
    limited 60 env LD_PRELOAD="$library" sudo -n env
    has_no_line '*LD_PRELOAD*'
    block "$SERVICES" 'sudo run-with'
    local command
    command=$(sed "s| python3 app.py| $PYTHON -S application.py|" block)
    limited 60 sh -c "$command"
    is_status 0
    has_line answered
    has_line '*gilshim: repaired held: *'
}

# mpirun is what starts the ranks; the programs need no MPI for that.
@test "mpirun" {
    require "needs mpirun" command -v mpirun
    block "$SERVICES" 'mpirun -n 4'
    local command
    command=$(sed -n "s| python3 app.py| $PYTHON -S application.py|; /^mpirun/p" block)
    [ -n "$command" ]
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    limited 120 sh -c "$command"
    is_status 0
    [ "$(count_lines '*answered*')" -eq 4 ]
    [ "$(grep -l 'gilshim: repaired held: ' gil-*.log | wc -l)" -eq 4 ]
}
