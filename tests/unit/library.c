/* A library to read and to redirect; rules.mk builds it with several linkers and hash tables. */
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
EXPORT(0)
EXPORT(1)
EXPORT(2)
EXPORT(3) EXPORT(4) EXPORT(5) EXPORT(6) EXPORT(7) EXPORT(8) EXPORT(9) EXPORT(10) EXPORT(11) EXPORT(12) EXPORT(13)
    EXPORT(14) EXPORT(15) EXPORT(16) EXPORT(17) EXPORT(18) EXPORT(19)
