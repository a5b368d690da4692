#!/usr/bin/env bats
# Libraries with threads of their own, from Debian's packages: the same result with the shim as without, and as fast. Each program
# (programs/with_*.py) runs both ways in turn; the ratios of the fastest runs are printed. Time on the clock says little while
# other tests run: the processor's must not double.

load ../helpers

setup() {
    programs=$ROOT/tests/stacks/programs
}

# Sets result and took (seconds on the clock, seconds of the processor) to what the program printed.
read_result() {
    [ "$status" -eq 0 ] || told "failed: $1" || return
    result=$(sed -n 's/^result //p' <<<"$output")
    took=$(sed -n 's/^seconds \(.*\) processor /\1 /p' <<<"$output")
    [ -n "$result" ] || told "no result: $1"
}

# same_with_the_shim NAME ROUNDS
same_with_the_shim() {
    local program=$programs/with_$1.py round bare expected='' times=()
    for round in $(seq "$2"); do
        LIMIT=120 without /usr/bin/python3 "$program"
        read_result "$program, without the shim"
        expected=${expected:-$result}
        [ "$result" = "$expected" ] || told "without the shim, at the first time: $expected"
        bare=$took
        LIMIT=120 with_shim /usr/bin/python3 "$program"
        read_result "$program, with the shim"
        [ "$result" = "$expected" ] || told "without the shim: $expected"
        times+=("$bare $took")
    done
    printf '%s\n' "${times[@]}" | awk -v name="$1" '
        { for (i = 1; i <= 4; i++) if (NR == 1 || $i < least[i]) least[i] = $i }
        END {
            printf "# %s: %.2f s, with the shim %.2f times that; of the processor %.2f s, %.2f times\n", name,
                least[1], least[3] / least[1], least[2], least[4] / least[2]
            exit least[4] > 2 * least[2] + 0.2
        }' >&3
}

has() { /usr/bin/python3 -c "import $1"; }

@test "PyGObject: GLib's main loop, call-backs from Python's and from GLib's threads" {
    require "needs python3-gi" has gi
    same_with_the_shim glib 3
}

@test "NumPy in a pool of threads" {
    require "needs python3-numpy" has numpy
    same_with_the_shim numpy 3
}

@test "OpenCV's worker threads" {
    require "needs python3-opencv" has cv2
    same_with_the_shim opencv 3
}

@test "gRPC: server and clients with pools of threads" {
    require "needs python3-grpcio" has grpc
    same_with_the_shim grpc 3
}

@test "PyQt5: QThreads and Qt's pool of threads" {
    require "needs python3-pyqt5" has PyQt5.QtWidgets
    same_with_the_shim qt 3
}

@test "PyTorch: autograd's threads, DataLoader by fork and by spawn" {
    require "needs python3-torch" has torch
    same_with_the_shim torch 2
}
