/* "plain": a C extension that enters Python by PyGILState_Ensure, as most do, wherever it happens to be called.
 * Each function gives the name of the application group (that is, of the sub-interpreter) in which its call-back ran. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The current interpreter's own mod_wsgi module knows the group. A new reference, or NULL with an exception set. */
static PyObject *group(void) {
    PyObject *module = PyImport_ImportModule("mod_wsgi");
    PyObject *name = module == NULL ? NULL : PyObject_GetAttrString(module, "application_group");
    Py_XDECREF(module);
    return name;
}

static PyObject *here(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return group();
}

/* Copies the group's name: an object of one interpreter must not be given to another. */
static void note_group(char *text, size_t size) {
    PyObject *name = group();
    const char *utf8 = name == NULL ? NULL : PyUnicode_AsUTF8(name);
    snprintf(text, size, "%s", utf8 == NULL ? "an error" : utf8);
    Py_XDECREF(name);
    PyErr_Clear();
}

/* PyGILState_Ensure with the GIL held: documented, and a deadlock in a sub-interpreter up to 3.11. */
static PyObject *held(PyObject *self, PyObject *unused) {
    char text[100];
    (void)self, (void)unused;
    PyGILState_STATE state = PyGILState_Ensure();
    note_group(text, sizeof text);
    PyGILState_Release(state);
    return PyUnicode_FromString(text);
}

/* PyGILState_Ensure where the GIL was let go: silently in the main interpreter. */
static PyObject *saved(PyObject *self, PyObject *unused) {
    char text[100];
    (void)self, (void)unused;
    PyThreadState *thread = PyEval_SaveThread();
    PyGILState_STATE state = PyGILState_Ensure();
    note_group(text, sizeof text);
    PyGILState_Release(state);
    PyEval_RestoreThread(thread);
    return PyUnicode_FromString(text);
}

static PyMethodDef methods[] = {
    {"here", here, METH_NOARGS, "The current interpreter's group."},
    {"held", held, METH_NOARGS, "The same, in a PyGILState block with the GIL held."},
    {"saved", saved, METH_NOARGS, "The same, in a PyGILState block after PyEval_SaveThread."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "plain", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_plain(void);
PyMODINIT_FUNC PyInit_plain(void) {
    return PyModuleDef_Init(&definition);
}
