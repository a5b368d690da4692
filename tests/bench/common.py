"""What the benchmarks share: the interpreters, the module that is measured, processes that answer."""

import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT = os.path.join(ROOT, "build", "bench")
LIBRARY = os.path.join(ROOT, "build", "libgilshim.so")
RECORDING = "history=32:summary=1:log_path=/dev/null"  # options: each call is recorded


def interpreters(tags):
    """Those of tests/interpreters.sh that have a program to run; `tags`: which, None for all"""
    more = {"GILSHIM_TEST_PYTHONS": tags} if tags else {}
    listing = subprocess.run(["sh", os.path.join(ROOT, "tests", "interpreters.sh")], stdout=subprocess.PIPE, check=True,
                             env=dict(os.environ, **more)).stdout.decode()
    keys = "tag kind version build python include libdir ldlib".split()
    found = [dict(zip(keys, line.split("\t"))) for line in listing.splitlines()]
    return [interpreter for interpreter in found if interpreter["python"] != "-"]


def compile_c(sources, output, *flags):
    """A shared object, made anew if it is older than what it is made of"""
    sources = [os.path.join(HERE, source) for source in sources]
    newest = max(os.path.getmtime(source) for source in sources + [os.path.join(HERE, "bench_api.h")])
    if os.path.exists(output) and os.path.getmtime(output) > newest:
        return output
    os.makedirs(os.path.dirname(output), exist_ok=True)
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-shared", "-Wall", "-Wextra",
                    "-pthread", *flags, "-o", output, *sources, "-ldl"], check=True)
    return output


def module_folder(interpreter):
    """Where this interpreter finds bench_api"""
    folder = interpreter.get("folder") or os.path.join(OUT, interpreter["tag"])
    compile_c(["bench_api.c", "throughput.c", "scale.c"], os.path.join(folder, "bench_api.so"), "-isystem", interpreter["include"], "-Wl,-z,lazy")
    return folder


def passthrough():
    return compile_c(["passthrough.c"], os.path.join(OUT, "passthrough.so"))


def environment(preload, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_", "GILSHIM_"))}
    if preload:
        kept["LD_PRELOAD"] = preload
    return dict(kept, **more)


class Server:
    """An interpreter that measures on demand (bench_api.serve)"""

    def __init__(self, interpreter, preload, options="", wrap=()):
        self.process = subprocess.Popen(
            [*wrap, interpreter["python"], "-S", "-c", "import bench_api; bench_api.serve()"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(preload, PYTHONPATH=module_folder(interpreter), GILSHIM_OPTIONS=options))

    def ask(self, line):
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("%s: no answer to %r" % (self.process.args, line))
        return float(answer)

    def close(self):
        self.process.stdin.close()
        return self.process.wait()
