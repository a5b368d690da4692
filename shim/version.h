#pragma once

/* The one place that says which version this is; the Makefile and run-with-shim.sh read it from here. */
#define GILSHIM_VERSION "0.1.0"
