/* check=1: prints on stdout what can be served in this program, instead of running it. */
#pragma once

/* To be called at the end of the constructor, after binding. Starts an interpreter in a child process to try the probes
 * on, prints, and ends the process with status 0 if a CPython was found and can be served, or 1. With help=1 prints the
 * list of options instead (run-with-shim.sh --options) and ends the process with status 0. With log_format=json what was
 * found is one object of type "check". */
_Noreturn void check_and_exit(void);
