/* Python stacks, as cpython/pystack.h has them, from the target's memory. */
#include "cpython/pystack.h"

#include "inspect/choice.h"
#include "inspect/python_stack.h"

const char *pystack_take(PyThreadState *state, char *buffer, size_t capacity) {
    buffer[0] = '\0';
    return state ? python_stack_read(&choice_python()->cpython, (uintptr_t)state, buffer, capacity) : "no thread state";
}
