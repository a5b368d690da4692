/* A library that the tests read and redirect. rules.mk builds it with several linkers and hash tables. */
int lib_answer(void);
int lib_other(void);
int lib_big(int n);
extern int lib_data;

int lib_data = 7;

int lib_answer(void) {
    return 1;
}

int lib_other(void) {
    return 2;
}

int lib_big(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += i * (i ^ n);
    return sum;
}

/* Enough names for hash chains longer than one. */
#define EXPORT(n)              \
    int lib_export_##n(void);  \
    int lib_export_##n(void) { \
        return 100 + n;        \
    }
#define EXPORT_FIVE(a, b, c, d, e) EXPORT(a) EXPORT(b) EXPORT(c) EXPORT(d) EXPORT(e)
EXPORT_FIVE(0, 1, 2, 3, 4)
EXPORT_FIVE(5, 6, 7, 8, 9)
EXPORT_FIVE(10, 11, 12, 13, 14)
EXPORT_FIVE(15, 16, 17, 18, 19)
