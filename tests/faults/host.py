# A program that the shim has nothing to repair in, for tests/faults/run: host.py FOLDER KIND
import ctypes
import os
import signal
import subprocess
import sys
import threading

kind = sys.argv[2]
libc = ctypes.CDLL(None)
usleep_with_gil = ctypes.PyDLL(None).usleep


def work():
    call_back = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: 0)
    numbers = (ctypes.c_int * 4)(4, 3, 2, 1)
    for _ in range(20):
        libc.qsort(numbers, 4, 4, call_back)


def run_threads():
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fork(status):
    child = os.fork()
    if child == 0:
        run_threads()
        os._exit(status)
    print(os.waitpid(child, 0)[1])


run_threads()
print("threads")
sys.stdout.flush()
if kind == "all":
    fork(3)
    print(subprocess.call(["/bin/true"]))
    sys.exit(5)
elif kind == "_exit":
    os._exit(6)
elif kind == "abort":
    os.abort()
elif kind == "killed":
    os.kill(os.getpid(), signal.SIGTERM)
elif kind == "misuse": # fatal, bare too
    ctypes.PyDLL(None).PyEval_SaveThread()
    ctypes.CDLL(None).PyEval_SaveThread()
elif kind == "stall": # a thread waits for the GIL for longer than stall= says
    thread = threading.Thread(target=run_threads)
    thread.start()
    usleep_with_gil(400000)
    thread.join()
    print("end")
