#!/usr/bin/env python3
"""Runs CPython's own tests bare and with the shim preloaded, and compares the outcome of each single test.

Usage: compare.py [-j JOBS] [-n ROUNDS] [-X OPTION] [-o OPTIONS] [--all] PYTHON LIBRARY [MODULE...]

PYTHON is 2.7, or 3.8 or later (the outcomes are read from what unittest prints, or from regrtest's --junit-xml). -X OPTION is
for the interpreter under test, -o OPTIONS for the shim (GILSHIM_OPTIONS). -X gil=0 or 1 is passed on to its child processes,
too (PYTHON_GIL). --all: the longer list of modules, with
whatever uses threads, fork or sub-interpreters. A module whose outcomes differ is run again on both sides, up to ROUNDS
times in all, for some of these tests depend on the clock; it counts as the same if one round shows no difference, and
the table says how many rounds that took. Ends with status 0 if all is the same, 1 if not, 2 if nothing could be run.
The child processes of the tests inherit LD_PRELOAD: that is intended.
"""

import argparse
import collections
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

# The long ones first.
MODULES = """test_faulthandler test_threading test_fork1 test_capi test_threadsignals test_embed test_thread
             test_threading_local test_tracemalloc test_ctypes test_atexit""".split()
# What uses threads, fork and sub-interpreters beyond that; no interpreter has all of them.
MORE_MODULES = """test_concurrent_futures test_multiprocessing_fork test_multiprocessing test_ssl test_sqlite3 test_sqlite test_readline
                  test_finalization test__xxsubinterpreters test__interpreters test_interpreters test_free_threading
                  test_threaded_import test_threadedtempfile test_gil test_queue""".split()
MODULE_SECONDS = 900

# outcomes: {test: outcome}; log: what the run printed
Run = collections.namedtuple("Run", "outcomes seconds log")


def environment(library, options=None, interpreter_options=()):
    """Without anything of the caller's that changes what tests see."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "LD_", "GILSHIM_", "BATS_", "MAKE", "MFLAGS"))}
    for option in interpreter_options:
        if option.startswith("gil="):
            kept["PYTHON_GIL"] = option[len("gil="):]
    if library:
        kept["LD_PRELOAD"] = library
        if options:
            kept["GILSHIM_OPTIONS"] = options
    return kept


def run_bounded(command, seconds, **options):
    """The exit status and output; everything the command started is killed when its time is over, or it ends."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True, **options)
    try:
        output = process.communicate(timeout=seconds)[0]
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output = process.communicate()[0]
        status = "time limit"
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return status, output.decode("utf-8", "replace")


def outcome_of(case):
    for outcome in "error", "failure", "skipped":
        if case.find(outcome) is not None:
            return outcome
    return "passed"


def read_outcomes(path):
    """From regrtest's JUnit file. A test with several entries (subtests) gets the worst of them."""
    order = ["passed", "skipped", "failure", "error"]
    outcomes = {}
    if os.path.exists(path) and os.path.getsize(path):
        for case in ElementTree.parse(path).iter("testcase"):
            outcome = outcome_of(case)
            name = case.get("name")
            if name not in outcomes or order.index(outcome) > order.index(outcomes[name]):
                outcomes[name] = outcome
    return outcomes


def read_log(log):
    """From what 2.7's unittest prints with -v: a line begins with the test's name, and ends, perhaps lines later, with its outcome."""
    words = {"ok": "passed", "FAIL": "failure", "ERROR": "error", "skipped": "skipped"}
    outcomes = {}
    test = None
    for line in log.splitlines():
        start = re.match(r"(\w+ \([\w.]+\))(?:$| \.\.\.)", line)
        if start:
            test = start.group(1)
        end = re.search(r"(?:^|\s|\.\.\.)(ok|FAIL|ERROR|skipped)(?: ['\"].*)?$", line)
        if test and end:
            outcomes[test] = words[end.group(1)]
            test = None
    return outcomes


def run_module(arguments, library, module):
    folder = tempfile.mkdtemp(prefix="noharm-")
    report = os.path.join(folder, "report.xml")
    started = time.monotonic()
    command = [arguments.python] + [word for option in arguments.options for word in ("-X", option)]
    if arguments.old:
        command += ["-m", "test.regrtest", "-v", module]
    else:
        command += ["-m", "test", "--timeout", str(MODULE_SECONDS - 30), "--junit-xml", report, module]
    try:
        status, log = run_bounded(command, MODULE_SECONDS, cwd=folder,
                                  env=dict(environment(library, arguments.shim_options, arguments.options), TMPDIR=folder))
        outcomes = read_log(log) if arguments.old else read_outcomes(report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outcomes["(exit status)"] = str(status)
    return Run(outcomes, time.monotonic() - started, log)


def differences(bare, shimmed):
    """[(test, outcome bare, outcome with the shim)]"""
    tests = sorted(set(bare.outcomes) | set(shimmed.outcomes))
    pairs = [(test, bare.outcomes.get(test, "absent"), shimmed.outcomes.get(test, "absent")) for test in tests]
    return [pair for pair in pairs if pair[1] != pair[2]]


def compare_module(arguments, module):
    """(module, rounds, bare, shimmed, differences of the last round)"""
    for round_number in range(1, arguments.rounds + 1):
        # Both sides at once, for most of these tests sleep most of the time; when in doubt one after the other.
        with concurrent.futures.ThreadPoolExecutor(2 if round_number == 1 else 1) as pool:
            sides = [pool.submit(run_module, arguments, library, module) for library in (None, arguments.library)]
        bare, shimmed = [side.result() for side in sides]
        different = differences(bare, shimmed)
        if not different:
            break
    return module, round_number, bare, shimmed, different


def existing(python, modules):
    """(is it 2.7?, those of the modules that it has)"""
    script = """import sys
try:
    from importlib.util import find_spec
except ImportError:
    from pkgutil import find_loader as find_spec
print(" ".join([str(sys.version_info[0])] + [m for m in %r if find_spec("test." + m)]))""" % (modules,)
    status, output = run_bounded([python, "-S", "-c", script], 60, env=environment(None))
    if status != 0:
        sys.exit("%s has no test package: %s" % (python, output))
    return output.split()[0] == "2", output.split()[1:]


def tell(result):
    module, rounds, bare, shimmed, different = result
    counts = collections.Counter(bare.outcomes.values())
    print("%-24s %5d passed %4d skipped %3d failed   %6.1f s bare %6.1f s with   %s" % (
        module, counts["passed"], counts["skipped"], counts["failure"] + counts["error"], bare.seconds, shimmed.seconds,
        "%d DIFFER" % len(different) if different else "same" if rounds == 1 else "same in round %d" % rounds), flush=True)
    for test, without, with_shim in different:
        print("    %s: %s without, %s with the shim" % (test, without, with_shim))
    if different:
        print("    --- the end of what it printed with the shim")
        for line in shimmed.log.splitlines()[-40:]:
            print("    | " + line)


def main():
    parser = argparse.ArgumentParser(description="CPython's own tests, bare and with the shim")
    parser.add_argument("-j", dest="jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-n", dest="rounds", type=int, default=3)
    parser.add_argument("-X", dest="options", action="append", default=[], metavar="OPTION")
    parser.add_argument("-o", dest="shim_options", metavar="OPTIONS")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("python")
    parser.add_argument("library", type=os.path.abspath)
    parser.add_argument("modules", nargs="*")
    arguments = parser.parse_args()

    wanted = arguments.modules or MODULES + (MORE_MODULES if arguments.all else [])
    arguments.old, modules = existing(arguments.python, wanted)
    if not modules:
        print("%s has none of the modules" % arguments.python)
        return 2
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        different = tests = 0
        for future in concurrent.futures.as_completed([pool.submit(compare_module, arguments, m) for m in modules]):
            tell(future.result())
            different += bool(future.result()[4])
            tests += len(future.result()[2].outcomes) - 1
    print("%d tests" % tests)
    print("%d modules, %d differ" % (len(modules), different))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
