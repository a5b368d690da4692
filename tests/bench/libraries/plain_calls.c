/* call(function, count): without the GIL, and with it for each call; by PyGILState_Ensure, as most C modules do, or by pybind11 2.2's
   gil_scoped_acquire (GENERATION 1). */
#ifdef OLD
#define OLDGIL_GENERATION 1
#include "../../fixtures/shapes/oldgil.h"
#define NAME old_calls
#else
#include <Python.h>
#define NAME plain_calls
#endif
#define GLUE(one, two) one##two
#define EXPAND(one, two) GLUE(one, two)
#define TEXT_OF(word) #word
#define TEXT(macro) TEXT_OF(macro)

static PyObject *call(PyObject *self, PyObject *arguments) {
    PyObject *function;
    int count;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "Oi", &function, &count))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    for (int i = 0; i < count; i++) {
#ifdef OLD
        struct oldgil_acquire block;
        oldgil_acquire_begin(&block);
        Py_XDECREF(PyObject_CallFunction(function, NULL));
        oldgil_acquire_end(&block);
#else
        PyGILState_STATE gil = PyGILState_Ensure();
        Py_XDECREF(PyObject_CallFunction(function, NULL));
        PyGILState_Release(gil);
#endif
    }
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"call", call, METH_VARARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, TEXT(NAME), "", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC EXPAND(PyInit_, NAME)(void);
PyMODINIT_FUNC EXPAND(PyInit_, NAME)(void) {
#ifdef OLD
    oldgil_create_internals();
#endif
    return PyModule_Create(&definition);
}
