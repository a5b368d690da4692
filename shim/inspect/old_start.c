/* gilshim-inspect for old C libraries (`make wheel`): the start-up code that is linked into a program asks for
 * __libc_start_main of glibc 2.34. The linker (--wrap) makes it ask for this one instead. */

#ifdef GLIBC_BASE /* old_glibc.h is included */

typedef int main_function(int argc, char **argv, char **environment);

extern int start_main_of_old_glibc(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                                   void (*loader_fini)(void), void *stack_end);
LINK_TO(start_main_of_old_glibc, __libc_start_main, GLIBC_BASE);

/* The start-up code has no `init`, as glibc runs the constructors of a program itself since 2.34; earlier ones would not. This
 * program has none. */
int __wrap___libc_start_main(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                             void (*loader_fini)(void), void *stack_end);
int __wrap___libc_start_main(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                             void (*loader_fini)(void), void *stack_end) {
    return start_main_of_old_glibc(main, argc, argv, init, fini, loader_fini, stack_end);
}

#endif
