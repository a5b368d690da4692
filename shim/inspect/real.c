/* What cpython/real.h and process/options.h declare. Of `real` only addresses are set, the target's, and nothing of it is
 * called. */
#include "cpython/real.h"

#include <string.h>

#include "process/options.h"

struct real real;
struct options options = {.mode = MODE_OFF /* nothing is repaired in the target */, .color = COLOR_NEVER};

const char *const real_api_names[REAL_API_COUNT] = {
#define API(type, name, parameters, arguments) #name,
#include "api.def"
#undef API
};

/* The shim in the target, if it has one. */
bool real_is_self(const struct elf_object *object) {
    const char *slash = strrchr(object->name, '/');
    return strcmp(slash ? slash + 1 : object->name, "libgilshim.so") == 0;
}
