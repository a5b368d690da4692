/* The wrappers under the names by which this object itself calls them. */
#pragma once

#include "cpython/cpython.h"

#define API(type, name, parameters, arguments) type gilshim_##name parameters;
#include "api.def"
#undef API
