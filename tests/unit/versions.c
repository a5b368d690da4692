/* A library with several versions of a name, as libc has them. rules.mk builds it with versions.map. */
int wait_old(void);
int wait_new(void);
int same_code(void);
int gone(void);
int plain_default(void);

/* The older version behaves otherwise. */
int wait_old(void) {
    return 1;
}
int wait_new(void) {
    return 2;
}
__asm__(".symver wait_old, lib_wait@V1");
__asm__(".symver wait_new, lib_wait@@V3");

/* The same code under three versions. */
int same_code(void) {
    return 3;
}
__asm__(".symver same_code, lib_same@V1");
extern __typeof(same_code) same_code_2 __attribute__((alias("same_code"))),
    same_code_3 __attribute__((alias("same_code")));
__asm__(".symver same_code_2, lib_same@V2");
__asm__(".symver same_code_3, lib_same@@V3");

/* Only programs that are linked already find it. */
int gone(void) {
    return 4;
}
__asm__(".symver gone, lib_gone@V1");

/* One version only. */
int plain_default(void) {
    return 5;
}
__asm__(".symver plain_default, lib_new@@V2");
