#pragma once

/* The one place that states the version. The Makefile and run-with-shim.sh read it from here. */
#define GILSHIM_VERSION "0.1.0"
