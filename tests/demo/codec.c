/* "codec": another native library, by other people. It enters Python in the way of the C API's newer half, PyGILState_Ensure
 * and PyGILState_Release, which may be called on any thread, whether it holds the GIL already or not. ctypes, cffi, Cython
 * and most of what one finds on the web do the same. Alone it is right, too. */
#include "module.h"

void engine_notify(PyObject *function);

/* encode(function): enters Python as libraries must before they touch an object, and tells engine that it is done. */
static PyObject *encode(PyObject *self, PyObject *function) {
    (void)self;
    PyGILState_STATE state = PyGILState_Ensure();
    if (function != Py_None)
        engine_notify(function);
    PyGILState_Release(state);
    Py_RETURN_NONE;
}

MODULE(codec, encode, "Enters Python with PyGILState_Ensure.")
