/* A preload that does nothing: each function passes its call on. What the preload as such costs, to compare with. */
#include <dlfcn.h>

#define FUNCTIONS(X)                                      \
    X(int, PyGILState_Ensure, (void), ())                 \
    X(void, PyGILState_Release, (int state), (state))     \
    X(void *, PyEval_SaveThread, (void), ())              \
    X(void, PyEval_RestoreThread, (void *state), (state)) \
    X(void, PyEval_AcquireThread, (void *state), (state)) \
    X(void, PyEval_ReleaseThread, (void *state), (state))

#define X(type, name, parameters, arguments) \
    static type(*real_##name) parameters;    \
    type name parameters;                    \
    type name parameters {                   \
        return real_##name arguments;        \
    }
FUNCTIONS(X)
#undef X

__attribute__((constructor)) static void bind(void) {
#define X(type, name, parameters, arguments) *(void **)&real_##name = dlsym(RTLD_NEXT, #name);
    FUNCTIONS(X)
#undef X
}
