#!/usr/bin/env bats
# Apache with mod_wsgi, as Debian ships them: applications in sub-interpreters whose modules enter Python by PyGILState_Ensure.

load ../helpers
load apache/server

# From 3.12 on PyGILState_* follow the sub-interpreter natively: nothing hangs there.
old_interpreter() { ldd "$APACHE_MODULES/mod_wsgi.so" | grep -q 'libpython3\.\([0-9]\|1[01]\)\.so'; }
has_packages() {
    [ -x /usr/sbin/apache2 ] && [ -e "$APACHE_MODULES/mod_wsgi.so" ] && /usr/bin/python3 -c 'from gi.repository import GLib' &&
        echo '#include <pybind11/pybind11.h>' | c++ -fsyntax-only -isystem "$(/usr/bin/python3 -S -c 'import sysconfig; print(sysconfig.get_paths()["include"])')" -xc++ -
}

setup_file() {
    ! has_packages >/dev/null 2>&1 || apache_prepare
}
setup() {
    require "needs apache2-bin, libapache2-mod-wsgi-py3, python3-gi and pybind11-dev" [ -n "${APACHE_DIR:-}" ]
    require "a mod_wsgi with Python up to 3.11" old_interpreter
}
teardown() {
    [ -z "${APACHE_DIR:-}" ] || { tail -n 15 "$APACHE_DIR/error.log" && apache_stop 10; }
}
teardown_file() {
    [ -z "${APACHE_DIR:-}" ] || rm -rf "$APACHE_DIR"
}

# No process of the server died.
none_died() {
    run ! grep -E 'exit signal|Segmentation|Fatal Python' "$APACHE_DIR/error.log"
}

# In the main interpreter all ways answer: the modules are right. (And from then on the thread has a state of that interpreter.)
main_answers() {
    ask "$1/main" "$2" -j 1
    is_status 0
}

@test "Apache, embedded (prefork): hangs without the shim, or runs in the wrong interpreter" {
    apache_start bare
    main_answers embedded "where held saved idle bound"
    ask embedded/one where
    is_status 0
    # Each in a process of its own: one that hangs takes no further request.
    ask embedded/one "held saved idle bound" -t 4
    is_status 1
    local way
    for way in held idle bound; do has_line "*1  /embedded/one/$way  no answer"; done
    has_line "*1  /embedded/one/saved  one= embedded"
}

@test "Apache, daemon processes: hangs without the shim, or runs in the wrong interpreter" {
    apache_start bare
    local way
    for way in held saved idle bound; do main_answers "only-$way" "$way"; done
    for way in held idle bound; do
        ask "only-$way/one" "$way" -t 4
        has_line "*1  /only-$way/one/$way  no answer"
    done
    ask only-saved/one saved
    has_line "*1  /only-saved/one/saved  one= only-saved"
}

# The same requests in the same order, and with the second group between them. PyGObject registers its types once a process:
# only one interpreter of a process can have it.
@test "Apache, embedded (prefork): with the shim each way answers, in its own interpreter" {
    apache_start shim
    ask "embedded/main embedded/one embedded/two" "where held saved bound" -n 120 -j 4
    is_status 0
    ask embedded/one "held saved idle bound" -n 60 -j 4
    is_status 0
    none_died
}

@test "Apache, daemon processes: with the shim each way answers, in its own interpreter" {
    apache_start shim
    local way group
    for way in held saved bound; do
        for group in main one two one main two one; do
            ask "only-$way/$group" "$way"
            is_status 0
        done
    done
    ask only-idle/main where
    is_status 0
    ask only-idle/one "idle held saved bound" -n 20
    is_status 0
    none_died
}

@test "Apache: what is repaired is in its error log" {
    SHIM_OPTIONS=verbosity=1 apache_start shim
    ask embedded/one held
    is_status 0
    grep -q 'gilshim: repaired subinterp: .* by mod_wsgi.so!wsgi_acquire_interpreter' "$APACHE_DIR/error.log"
}

@test "Apache: 1,000 requests, 16 at a time, over two groups, in each mode, a graceful restart, 1,000 requests" {
    apache_start shim
    local mode before pid
    pid=$(cat "$APACHE_DIR/pid")
    before=$(pgrep -P "$pid" | sort)
    for mode in embedded daemon; do a_thousand "$mode"; done
    kill -USR1 "$pid"
    for mode in embedded daemon; do a_thousand "$mode"; done
    # All its processes are others.
    [ -z "$(comm -12 <(echo "$before") <(pgrep -P "$pid" | sort))" ] || told "processes of before the restart are still there"
    none_died
    apache_stop 150
    [ ! -e "$APACHE_DIR/stopped" ] || told "the server had to be killed"
    none_died
}

@test "Apache: 1,000 requests in each mode with check=calls: no GIL error is reported, and each is answered" {
    SHIM_OPTIONS=check=calls apache_start shim
    local mode
    for mode in embedded daemon; do a_thousand "$mode"; done
    none_died
    run ! grep 'GIL error' "$APACHE_DIR/error.log"
    apache_stop 150
}

# Of both groups, but for the idle call-backs, which only one can have.
a_thousand() {
    ask_all -n 1000 -j 16 -t 60 -- "$1"/one/{held,saved,idle,bound} "$1"/two/{held,saved,bound}
    is_status 0
}
