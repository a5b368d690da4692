"""PyGObject: a GLib main loop, call-backs from Python's threads, from GLib's own pool of threads, and from the loop."""
import threading

from gi.repository import Gio, GLib

from result import done

ROUNDS, THREADS = 6000, 4

loop = GLib.MainLoop()
seen = {"idle": 0, "pool": 0, "finished": 0, "ticks": 0}
pool_threads = set()
lock = threading.Lock()


def count(what):
    with lock:
        seen[what] += 1
    return GLib.SOURCE_REMOVE


def poster():
    """A Python thread: has the loop call back."""
    for _ in range(ROUNDS):
        GLib.idle_add(count, "idle")


def in_pool(task, source, data, cancellable):
    """On a thread of GLib's own, which Python has not seen before."""
    pool_threads.add(threading.get_ident())
    count("pool")
    task.return_boolean(True)


def finished(source, task, data):
    count("finished")


def tick():
    count("ticks")
    if seen["idle"] == ROUNDS * THREADS and seen["finished"] == ROUNDS:
        loop.quit()
        return GLib.SOURCE_REMOVE
    return GLib.SOURCE_CONTINUE


threads = [threading.Thread(target=poster) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for _ in range(ROUNDS):
    Gio.Task.new(None, None, finished, None).run_in_thread(in_pool)
GLib.timeout_add(5, tick)
loop.run()
for thread in threads:
    thread.join()
assert pool_threads and threading.get_ident() not in pool_threads
del seen["ticks"]
done(sorted(seen.items()))
