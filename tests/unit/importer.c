/* A library that uses library.c by every kind of reference. With -fno-plt its calls are GLOB_DAT, otherwise JUMP_SLOT.
 * The table is plain data (R_X86_64_64), which redirection must leave alone. */
int lib_answer(void);
int lib_other(void);
int importer_call(void);
int importer_other(void);
int importer_by_table(void);

static int (*volatile const table[])(void) = {lib_answer};

int importer_call(void) {
    return lib_answer();
}

int importer_other(void) {
    return lib_other();
}

int importer_by_table(void) {
    return table[0]();
}
