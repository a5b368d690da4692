/* The wrappers, under the hidden names by which this library itself refers to them. */
#pragma once

#include "cpython/cpython.h"

#define API(type, name, parameters, arguments) type gilshim_##name parameters;
#include "api.def"
#undef API
