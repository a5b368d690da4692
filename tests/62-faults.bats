# Calls of the shim's own fail (mmap, mprotect, open, pthread_create, pthread_setspecific ...): the host ends as it does without
# the shim, and a repair that is missing is told. The short form of `make faults` (tests/faults/run): all of it on a static
# CPython, the repairs on a shared one, too.

load helpers

ends_as_bare() {
    use_python "$1" || return 0
    limited 580 env GILSHIM_LIB="$GILSHIM_LIB" "$ROOT/tests/faults/run" --tag "$PY_TAG" --jobs 6 --bare-limit 3 "${@:2}"
    is_status 0
    has_line "$PY_TAG: * runs with a fault, * 0 ended differently"
}

@test "no fault of the shim's own ends a host otherwise: a static CPython" { ends_as_bare static; }
@test "no fault of the shim's own ends a host otherwise: a shared CPython" { ends_as_bare shared --scenario 'repair '; }
