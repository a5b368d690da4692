#!/usr/bin/env python3
"""Compares what a Python program says about its threads with what is read from its memory.

Usage: compare.py SHOW SCENARIO PYTHON [ARGUMENT...]    SHOW: build/inspect/show; SCENARIO: see below
Prints what differs; status 0 if nothing does. PYTHON may have words in front (chroot ROOT python3.14). INSPECT_THREADS: where
threads.py is for it. INSPECT_STRIPPED=1: as if no file had a .symtab. PYTHON_GIL is handed on, for builds without the GIL; what is about
who holds it needs PYTHON_GIL=1.
"""
import os
import re
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
THREADS = {"stacks": 14, "hold": 4, "moved": 2, "subinterpreter": 2, "finalizing": 1}


class Failure(Exception):
    pass


def read_told(process, count):
    """What the program's threads tell: {name: (tid, ident, stack)}."""
    told = {}
    data = b""
    until = time.time() + 30
    while data.count(b"\nend\n") < count:
        if not select.select([process.stdout], [], [], max(0, until - time.time()))[0]:
            raise Failure("only %d of %d threads have told their stack" % (data.count(b"\nend\n"), count))
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            raise Failure("the program has ended")
        data += chunk
    for tid, ident, name, stack in re.findall(r"thread (\d+) (\d+) (\w+)\n(.*?)end\n", data.decode(), re.S):
        while name in told:
            name += "2"
        told[name] = (int(tid), int(ident), stack)
    return told


class Seen:
    """What was read: lists of {field: value}."""

    def __init__(self, text):
        self.states, self.gils, self.interpreters, self.waits = [], [], [], {}
        self.cpython = self.runtime = None
        state = None
        for line in text.splitlines(True):
            fields = line.rstrip("\n").split("\t")
            values = dict(zip(fields[2::2], fields[3::2]))
            values["="] = fields[1] if len(fields) > 1 else ""
            if line.startswith("  "):
                state["stack"] += line
            elif fields[0] == "state":
                state = values
                state["stack"] = ""
                self.states.append(state)
            elif fields[0] == "gil":
                self.gils.append(values)
            elif fields[0] == "interpreter":
                self.interpreters.append(values)
            elif fields[0] == "cpython":
                self.cpython = values
            elif fields[0] == "finalizing":
                self.runtime = values
            elif fields[0] == "wait":
                self.waits[int(fields[1])] = values["for"]

    def states_of(self, tid):
        return [state for state in self.states if int(state["tid"]) == tid]


def check(condition, what):
    if not condition:
        raise Failure(what)


def check_stacks(told, seen, names=None):
    for name in names or sorted(told):
        tid, ident, stack = told[name]
        states = [state for state in seen.states_of(tid) if state["stack"] == stack]
        check(
            states,
            "%s: expected\n%sbut read\n%s" % (name, stack, "---\n".join(s["stack"] for s in seen.states_of(tid)) or "no state\n"),
        )
        check(int(states[0]["ident"]) == ident, "%s: ident" % name)


def check_slots(told, seen):
    for tid, _, stack in told.values():
        for state in seen.states_of(tid):
            if state["stack"] == stack and state["slot"] != "-":
                check(state["slot"] == state["="], "%d: another state in the gilstate slot" % tid)


def is_hidden(version):
    """3.6 has its GIL in static variables, whose names a stripped file has not."""
    return version == (3, 6) and os.environ.get("INSPECT_STRIPPED")


def stacks(told, seen, version):
    check_stacks(told, seen)
    check_slots(told, seen)
    lock = "unknown" if is_hidden(version) else "none" if os.environ.get("PYTHON_GIL") == "0" else "free"
    check(seen.gils[0]["lock"] == lock, "all sleep, but the GIL is %s" % seen.gils[0]["lock"])
    check(not seen.waits, "waits: %s" % seen.waits)
    check(all(state["attachment"] == "detached" for state in seen.states), "all sleep, but a state is attached")
    check(seen.runtime["cut"] == "0", "a list was cut")
    check(int(seen.runtime["="], 16) == 0, "it does not finalize")


def hold(told, seen, version):
    check_stacks(told, seen)
    check_slots(told, seen)
    (gil,) = seen.gils
    check(gil["lock"] == "held", "the GIL is %s" % gil["lock"])
    holder = told["holder"][0]
    check(int(gil["holder_tid"]) == holder, "holder %s, not %d" % (gil["holder_tid"], holder))
    if version >= (3, 12) and os.uname().machine == "x86_64":
        tids = [int(state["attached_tid"]) for state in seen.states if state["attached_tid"] != "0"]
        check(tids == [holder], "attached by %s" % tids)
    attached = [int(state["tid"]) for state in seen.states if state["attachment"] == "attached"]
    check(attached == [holder], "attached: %s" % attached)
    waiters = {tid for name, (tid, _, _) in told.items() if name != "holder"}
    if is_hidden(version):
        check(not seen.waits, "3.6's GIL is not known in a stripped file")
    else:
        check(seen.waits == {tid: "gil" for tid in waiters}, "waits: %s, not of %s" % (seen.waits, waiters))


def moved(told, seen, version):
    check_stacks(told, seen)
    (gil,) = seen.gils
    (state,) = [state for state in seen.states if state["="] == gil["holder"]]
    check(int(state["tid"]) == told["main"][0], "made by %s" % state["tid"])
    check(int(state["attached_tid"]) == told["swapper"][0], "attached by %s" % state["attached_tid"])
    (own,) = seen.states_of(told["swapper"][0])
    check(own["slot"] == (state["="] if version < (3, 15) else "-"), "the slot has followed")


def subinterpreter(told, seen, version):
    check_stacks(told, seen)
    check(len(seen.interpreters) == 2, "%d interpreters" % len(seen.interpreters))
    within = [state for state in seen.states if state["stack"] == told["within"][2]]
    check(len(within) == 1 and within[0]["interpreter"] != "0", "the state is not the other interpreter's")
    check(len(seen.gils) == (2 if version >= (3, 12) else 1), "%d GILs" % len(seen.gils))
    if version >= (3, 12):
        check(len({interpreter["gil"] for interpreter in seen.interpreters}) == 2, "they share a GIL")


def finalizing(told, seen, _version):
    check_stacks(told, seen, ["last"])
    tid = told["last"][0]
    (state,) = [s for s in seen.states_of(tid) if s["stack"] == told["last"][2]]
    check(seen.runtime["="] == state["="], "finalizing: %s, not %s" % (seen.runtime["="], state["="]))


def main():
    show, scenario, python = sys.argv[1], sys.argv[2], sys.argv[3:]
    query = "import sys; sys.stdout.write('%d %d' % sys.version_info[:2])"
    version = tuple(map(int, subprocess.check_output([*python, "-S", "-c", query]).split()))
    threads = os.environ.get("INSPECT_THREADS", os.path.join(HERE, "threads.py"))
    environment = {name: value for name, value in os.environ.items() if name == "PYTHON_GIL" or not name.startswith(("PYTHON", "LD_PRELOAD"))}
    process = subprocess.Popen([*python, threads, scenario], stdout=subprocess.PIPE, env=environment)
    try:
        count = THREADS[scenario] - (scenario == "stacks" and version < (3, 0))
        told = read_told(process, count)
        time.sleep(0.3)
        text = subprocess.run([show, str(process.pid)], stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
        seen = Seen(text)
        check(seen.cpython and seen.cpython["="].startswith("%d.%d." % version), "no CPython, or another version\n" + text)
        try:
            globals()[scenario](told, seen, version)
        except Failure as failure:
            raise Failure("%s\n---- all that was read\n%s" % (failure, text))
    except Failure as failure:
        print(failure)
        return 1
    finally:
        process.kill()
        process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
