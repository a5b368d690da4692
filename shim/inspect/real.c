/* What cpython/real.h and process/options.h declare. Of `real` only addresses are set, the target's, and nothing of it is
 * called. */
#include "cpython/real.h"
#include "process/options.h"

struct real real;
struct options options;

const char *const real_api_names[REAL_API_COUNT] = {
#define API(type, name, parameters, arguments) #name,
#include "api.def"
#undef API
};
