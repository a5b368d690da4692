# An Apache of the test's own: `apache_start shim|bare`, `ask ...`, `apache_stop`. On 127.0.0.1 only, on a port that was free, with its
# configuration and everything that it writes in $APACHE_DIR.

APACHE_MODULES=/usr/lib/apache2/modules

# Made once a file: the folder, which the server's own user must be able to read, the modules and the port.
apache_prepare() {
    APACHE_DIR=$(mktemp -d)
    chmod 755 "$APACHE_DIR"
    export APACHE_DIR
    local include source=$ROOT/tests/stacks/apache
    include=$(/usr/bin/python3 -S -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    mkdir "$APACHE_DIR"/{main,one,two}
    cc -O1 -g -Wall -Wextra -fPIC -shared -isystem "$include" -o "$APACHE_DIR/main/plain.so" "$source/plain.c"
    c++ -O0 -g -std=c++14 -fPIC -shared -fvisibility=hidden -isystem "$include" -o "$APACHE_DIR/main/bound.so" "$source/bound.cpp"
    cp "$APACHE_DIR/main"/* "$APACHE_DIR/one/"
    cp "$APACHE_DIR/main"/* "$APACHE_DIR/two/"
    cp "$source/application.wsgi" "$GILSHIM_LIB" "$APACHE_DIR/"
    APACHE_PORT=$(/usr/bin/python3 -S -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    export APACHE_PORT
    apache_configure >"$APACHE_DIR/httpd.conf"
}

# Groups (sub-interpreters) `one`, `two` and the main interpreter's, mounted at MODE/GROUP. MODE is `embedded` in Apache's own
# processes, `daemon` for two processes with eight threads each, or `only-WAY`: a process with one thread for each way, so that
# a request that hangs does not keep the others from being answered.
apache_configure() {
    cat <<CONF
ServerRoot $APACHE_DIR
ServerName localhost
Listen 127.0.0.1:$APACHE_PORT
PidFile $APACHE_DIR/pid
DefaultRuntimeDir $APACHE_DIR
ErrorLog $APACHE_DIR/error.log
LogLevel warn
LoadModule mpm_prefork_module $APACHE_MODULES/mod_mpm_prefork.so
LoadModule authz_core_module $APACHE_MODULES/mod_authz_core.so
LoadModule wsgi_module $APACHE_MODULES/mod_wsgi.so
$([ "$(id -u)" != 0 ] || echo 'User nobody
Group nogroup')
StartServers 8
MinSpareServers 8
MaxRequestWorkers 16
WSGISocketPrefix $APACHE_DIR/wsgi
$(apache_mount embedded)
$(apache_mount daemon processes=2 threads=8)
$(for way in held saved idle bound; do apache_mount "only-$way" processes=1 threads=1; done)
<Directory />
  Require all granted
</Directory>
CONF
}

# apache_mount MODE [options of a daemon]
apache_mount() {
    local mode=$1 daemon='' group
    shift
    if [ $# -gt 0 ]; then
        echo "WSGIDaemonProcess $mode $*"
        daemon=process-group=$mode
    fi
    for group in one two; do echo "WSGIScriptAlias /$mode/$group $APACHE_DIR/application.wsgi application-group=$group $daemon"; done
    echo "WSGIScriptAlias /$mode/main $APACHE_DIR/application.wsgi application-group=%{GLOBAL} $daemon"
}

# $1: shim or bare. The server has no environment but this, as with a service manager.
apache_start() {
    local preload=()
    [ "$1" = bare ] || preload=("LD_PRELOAD=$APACHE_DIR/libgilshim.so" "GILSHIM_OPTIONS=${SHIM_OPTIONS:-}")
    [ -z "${GILSHIM_TEST_SHIM_OFF:-}" ] || preload=()
    rm -f "$APACHE_DIR"/{pid,error.log,stopped}
    timeout -s KILL 30 env -i PATH=/usr/bin:/bin LANG=C "${preload[@]}" /usr/sbin/apache2 -f "$APACHE_DIR/httpd.conf" -k start 3>&- </dev/null
    for _ in $(seq 100); do
        if [ -s "$APACHE_DIR/pid" ] && (exec 4<>"/dev/tcp/127.0.0.1/$APACHE_PORT") 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    cat "$APACHE_DIR/error.log"
    return 1
}

# Ends the server and, where they hang, its processes: they are one process group.
apache_stop() {
    [ -s "$APACHE_DIR/pid" ] || return 0
    local pid
    pid=$(cat "$APACHE_DIR/pid")
    kill -TERM "$pid" 2>/dev/null
    for _ in $(seq "${1:-50}"); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    ! kill -KILL -- "-$pid" 2>/dev/null || echo killed >"$APACHE_DIR/stopped"
    rm -f "$APACHE_DIR/pid"
}

# ask MOUNTS WAYS [ask.py's options]: each of MOUNTS with each of WAYS. Sets $status and $output.
ask() {
    local mount way places=()
    for mount in $1; do
        for way in $2; do places+=("$mount/$way"); done
    done
    shift 2
    ask_all "$@" -- "${places[@]}"
}

# ask_all [ask.py's options] -- MODE/GROUP/WAY...
ask_all() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    limited "${LIMIT:-200}" /usr/bin/python3 -S "$ROOT/tests/stacks/apache/ask.py" "${options[@]}" "${@/#/http://127.0.0.1:$APACHE_PORT/}"
}
