"""Each path is a way into native code that enters Python again; the answer is the sub-interpreter it got into."""
import os
import sys
import threading

import mod_wsgi

# Each application has its own copy of the modules, as each has its own virtualenv: pybind11 2 keeps one set of thread states
# for all interpreters that load the same file, and then calls back into the one that came first.
sys.path.insert(0, os.path.join(os.path.dirname(__file__), mod_wsgi.application_group or "main"))


def where():
    import plain
    return plain.here()


def held():
    import plain
    return plain.held()


def saved():
    import plain
    return plain.saved()


# PyGObject makes its classes at their first use, and by several threads at once it makes several (without the shim, too).
first_use = threading.Lock()


def idle():
    import plain
    with first_use:
        from gi.repository import GLib
        context = GLib.MainContext.new()
        source = GLib.Idle()
    seen = []
    source.set_callback(lambda data: seen.append(plain.here()))
    source.attach(context)
    while not seen:
        context.iteration(True)
    source.destroy()
    return seen[0]


def bound():
    import bound
    import plain
    return bound.call_back(plain.here)


def application(environ, start_response):
    way = {"/where": where, "/held": held, "/saved": saved, "/idle": idle, "/bound": bound}[environ["PATH_INFO"]]
    body = "%s=%s %s:%d" % (mod_wsgi.application_group, way(), mod_wsgi.process_group or "embedded", os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
