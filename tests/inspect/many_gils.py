# 70 interpreters with GILs of their own, which all say that they are interpreter 0. The thread that has made them waits for the GIL of
# the last one.
import ctypes, sys, threading, time
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
api = ctypes.pythonapi
for f in (api.PyInterpreterState_Head, api.PyInterpreterState_Next):
    f.restype = ctypes.c_void_p
api.PyInterpreterState_Next.argtypes = [ctypes.c_void_p]
api.PyInterpreterState_GetID.argtypes = [ctypes.c_void_p]
api.PyInterpreterState_GetID.restype = ctypes.c_int64
COUNT = 70
ready, go = threading.Event(), threading.Event()
made = []
def wait():
    for _ in range(COUNT):
        made.append(interpreters.create())
    ready.set()
    go.wait()
    time.sleep(0.3)
    interpreters.run_string(made[-1], "pass")
threading.Thread(target=wait, daemon=True).start()
ready.wait()
def lie():
    time.sleep(1)
    at = api.PyInterpreterState_Head()
    while at:
        number = api.PyInterpreterState_GetID(at)
        for place in range(at, at + 16384, 8):
            word = ctypes.c_int64.from_address(place)
            if number and word.value == number:
                word.value = 0
                if api.PyInterpreterState_GetID(at) == 0:
                    break
                word.value = number
        at = api.PyInterpreterState_Next(at)
    print("hangs", flush=True)
threading.Thread(target=lie, daemon=True).start()
go.set()
interpreters.run_string(made[-1], "import sys; sys.setswitchinterval(1000)\nwhile True: pass")
