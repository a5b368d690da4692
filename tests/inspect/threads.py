# -*- coding: utf-8 -*-
"""What compare.py looks at from outside: a program whose threads tell their own stacks, then stay there.

Usage: threads.py stacks|hold|moved|subinterpreter|finalizing. For 2.7 and 3.6 to 3.15.

A thread tells by say() what its stack is while it is on the same line, or `ahead` lines further:
    thread TID IDENT NAME
      File "threads.py", line 12 in sleeper
      ...
    end
"""
import ctypes
import os
import platform
import sys
import threading
import time

SECONDS = 60
GETTID = 178 if platform.machine() == "aarch64" else 186
libc = ctypes.CDLL(None)
libc_with_gil = ctypes.PyDLL(None)  # its functions are called with the GIL held


def escaped(string):
    """As faulthandler writes it; 2.7's strings are bytes."""
    text = ""
    for character in string:
        code = ord(character)
        if 32 <= code < 127:
            text += character
        elif code <= 0xFF:
            text += "\\x%02x" % code
        else:
            text += ("\\u%04x" if code <= 0xFFFF else "\\U%08x") % code
    return text


def cut(string):
    return escaped(string) if len(string) <= 500 else escaped(string[:500]) + "..."


def say(name, ahead=0):
    frame = sys._getframe(1)
    lines = []
    line = frame.f_lineno + ahead
    while frame and len(lines) < 100:
        lines.append('  File "%s", line %d in %s\n' % (cut(frame.f_code.co_filename), line, cut(frame.f_code.co_name)))
        frame = frame.f_back
        line = frame and frame.f_lineno
    if frame:
        lines.append("  ...\n")
    head = "thread %d %d %s\n" % (libc.syscall(GETTID), threading.current_thread().ident, name)
    os.write(1, (head + "".join(lines) + "end\n").encode("ascii"))


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.daemon = True
    thread.start()


# ---- places to be in


def sleeper(depth):
    if depth:
        return sleeper(depth - 1)
    say("nested"), time.sleep(SECONDS)


def generator():
    yield 1
    # a line without code

    say("generator"), time.sleep(SECONDS)
    yield 2


def through_generator():
    for _ in (x for x in generator()):
        pass


class Comparable(object):
    def __lt__(self, other):
        return sleeper(1)


def through_c():
    """C calls Python: sorted calls __lt__, map calls the lambda."""
    return list(map(lambda _: sorted([Comparable(), Comparable()]), [1]))


def through_callback():
    """A C function calls Python with another kind of frame in between."""
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    libc.qsort.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, compare]
    numbers = (ctypes.c_int * 2)(2, 1)
    libc.qsort(ctypes.addressof(numbers), 2, 4, compare(lambda a, b: sleeper(0) or 0))


def in_exception():
    try:
        raise ValueError
    except ValueError:
        try:
            raise KeyError
        finally:
            sleeper(0)


def long_line():
    """The same call, whose line is another one in each version."""
    return (
        1,
        sleeper(
            len(
                [])
        ),
    )


def many_lines():
    """More than one byte can say, in lines and in bytecode."""
    source = ["def far(say, sleep):", "  x = 0"]
    source += ["  x = x + %d" % i for i in range(300)]
    source += [""] * 1000
    source += ["  say('far'), sleep(%d)" % SECONDS]
    code = {}
    exec(compile("\n".join(source), "far.py", "exec"), code)
    code["far"](say, time.sleep)


def backwards():
    """Bytecode whose lines go back and forth."""
    for _ in range(
        2
    ): say("backwards") or time.sleep(SECONDS)


def foreign_names():
    """Names of every width of characters."""
    for i, name in enumerate(["caf\xe9", u"\u20ac" "uro", u"\U0001f40d" "nake", "a" * 600]):
        if sys.version_info[0] == 2:
            name = name.encode("utf-8") if not isinstance(name, str) else name
        code = {}
        exec(compile("def f(say, sleep):\n\n  say('foreign%d'), sleep(%d)" % (i, SECONDS), name + ".py", "exec"), code)
        function = code["f"]
        if sys.version_info >= (3, 8):
            function.__code__ = function.__code__.replace(co_name=name)
        start(function, say, time.sleep)


def recursion(depth):
    if depth:
        recursion(depth - 1)
    else:
        say("deep"), time.sleep(SECONDS)


def awaited():
    """A coroutine that awaits another."""
    code = {}
    exec(
        "async def inner(say, sleep):\n  say('coroutine'), sleep(%d)\n"
        "async def outer(say, sleep):\n  await inner(say, sleep)\n" % SECONDS,
        code,
    )
    code["outer"](say, time.sleep).send(None)


def stacks():
    targets = [through_generator, through_c, through_callback, in_exception, long_line, many_lines, backwards]
    targets += [awaited] if sys.version_info[0] > 2 else []
    for target in targets:
        start(target)
    start(sleeper, 5)
    start(recursion, 150)
    foreign_names()
    (lambda: (say("main"), time.sleep(SECONDS)))()


# ---- the GIL


def spinner():
    say("spinner", 1)
    while True: pass


def holder(ready):
    while not ready:
        time.sleep(0.01)
    say("holder"), libc_with_gil.sleep(SECONDS)


def hold():
    ready = []
    start(spinner)
    start(spinner)
    start(holder, ready)
    time.sleep(0.5)
    say("main", 2)
    ready.append(1)
    while True: pass


def moved():
    """Another thread than made the state attaches it, and sleeps with it and the GIL. 3.12+: Swap takes the GIL with the new state."""
    api = ctypes.pythonapi
    api.PyInterpreterState_Get.restype = ctypes.c_void_p
    api.PyThreadState_New.argtypes = api.PyThreadState_Swap.argtypes = [ctypes.c_void_p]
    api.PyThreadState_New.restype = api.PyThreadState_Swap.restype = ctypes.c_void_p
    state = api.PyThreadState_New(api.PyInterpreterState_Get())

    def swapper(ready):
        swap, sleep = api.PyThreadState_Swap, libc_with_gil.sleep
        while not ready:
            time.sleep(0.01)
        say("swapper"), swap(state), sleep(SECONDS)

    ready = []
    start(swapper, ready)
    say("main", 2)
    ready.append(1)
    while True: pass


# ---- other interpreters, and the end


def subinterpreter():
    """Code that knows nothing of this module runs in another interpreter."""
    with open(__file__) as file:
        source = file.read().split("def start(")[0]
    source = source.replace("import ctypes\n", "import _thread\n").replace("libc.syscall(GETTID)", "_thread.get_native_id()")
    source = "\n".join(line for line in source.split("\n") if not line.startswith("libc"))
    source += "\n\ndef within():\n    say('within'), time.sleep(%d)\n\nwithin()\n" % SECONDS
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters

    def run():
        interpreters.run_string(interpreters.create(), source)

    start(run)
    say("main"), time.sleep(SECONDS)


class Last(object):
    def __del__(self, say=say, sleep=time.sleep, seconds=SECONDS):
        say("last"), sleep(seconds)


def finalizing():
    global _last  # of a module's names these go first. A thread that lives on would keep them all
    _last = Last()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
