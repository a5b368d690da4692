#pragma once

/* The one place that states the version. The Makefile and run-with-shim.sh read it from here. */
#define GILSHIM_VERSION "0.2.0"

/* `git archive` fills in the commit and its time (see .gitattributes). In a checkout the Makefile asks git. */
#define GILSHIM_COMMIT "$Format:%H$"
#define GILSHIM_COMMIT_TIME "$Format:%ct$"
