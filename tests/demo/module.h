/* A Python module with one function, for Python 2 and 3. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_MAJOR_VERSION >= 3
#define MODULE(name, function, help)                                                                                  \
    static PyMethodDef methods[] = {{#function, function, METH_O, help}, {NULL, NULL, 0, NULL}};                      \
    static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, #name, NULL, -1, methods, NULL, NULL, NULL, NULL}; \
    PyMODINIT_FUNC PyInit_##name(void) {                                                                              \
        return PyModule_Create(&definition);                                                                          \
    }
#else
#define MODULE(name, function, help)                                                             \
    static PyMethodDef methods[] = {{#function, function, METH_O, help}, {NULL, NULL, 0, NULL}}; \
    PyMODINIT_FUNC init##name(void) {                                                            \
        (void)Py_InitModule(#name, methods);                                                     \
    }
#endif
