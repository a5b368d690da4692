/* Exports all that the shim asks of a CPython, and does nothing: an object that is bound to, to be damaged. */
#define API(type, name, parameters, arguments) \
    void *name(void);                          \
    void *name(void) {                         \
        return 0;                              \
    }
#define USE(type, name, parameters) API(type, name, parameters, )
#define USE_DATA(type, name) extern long name[8];
#include "api.def"
#include "uses.def"

int lib_answer(void);
int lib_other(void);
static void *(*volatile internal)(void) = PyGILState_GetThisThreadState;

int lib_answer(void) {
    return 1 + (PyGILState_Check() != 0) + (internal() != 0);
}

int lib_other(void) {
    return 2;
}
