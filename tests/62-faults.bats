# If the shim's own calls fail (mmap, mprotect, open, pthread_create, pthread_setspecific ...), the host ends as it does without
# the shim, and a missing repair is reported. This is the short form of `make faults` (tests/faults/run): everything on a static
# CPython, and the repairs also on a shared one.

load helpers

ends_as_bare() {
    use_python "$1" || return 0
    limited 580 env GILSHIM_LIB="$GILSHIM_LIB" "$ROOT/tests/faults/run" --tag "$PY_TAG" --jobs 6 --bare-limit 3 "${@:2}"
    is_status 0
    has_line "$PY_TAG: * runs with a fault, * 0 ended differently"
}

@test "no fault of the shim's own ends a host otherwise: a static CPython" { ends_as_bare static; }
@test "no fault of the shim's own ends a host otherwise: a shared CPython" { ends_as_bare shared --scenario 'repair '; }
