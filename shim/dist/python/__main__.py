"""python -m gilshim [OPTIONS] [--] [SCRIPT | -c COMMAND | -m MODULE] [ARGUMENT...]

Runs this Python once more, with the library preloaded. OPTIONS are those of run-with-shim.sh; Python's own follow `--`.
"""

import os
import subprocess
import sys

WITH_VALUE = "cmopstS"  # the wrapper's options that a value follows


def command(words, python):
    """Returns the wrapper's arguments: its options among WORDS, then PYTHON, a list, with the rest of WORDS."""
    i = 0
    while i < len(words) and words[i].startswith("-") and words[i] != "-":
        word = words[i]
        i += 1
        if word == "--":
            return words[:i] + python + words[i:]
        if word.startswith("--"):
            if word not in ("--check", "--json"):  # --help, --version and others start no program
                return words
            continue
        # -vs5, -vs 5: a value is the rest of the word, or the next one.
        valued = [at for at, letter in enumerate(word) if letter in WITH_VALUE]
        if valued and word[valued[0]] == "p":  # a process that runs already
            return words
        if valued and valued[0] == len(word) - 1:
            i += 1
    return words[:i] + ["--"] + python + words[i:]


def main():
    wrapper = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run-with-shim.sh")
    # The options that this Python was started with (-X dev, -O), as multiprocessing passes them on.
    flags = getattr(subprocess, "_args_from_interpreter_flags", list)()
    os.execv("/bin/sh", ["/bin/sh", wrapper] + command(sys.argv[1:], [sys.executable] + flags))


if __name__ == "__main__":
    main()
