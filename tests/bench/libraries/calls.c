/* A C library that calls back, for ctypes and cffi: it knows nothing of Python. */
void calls(void (*callback)(void), int count) {
    for (int i = 0; i < count; i++)
        callback();
}
