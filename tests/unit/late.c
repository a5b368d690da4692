/* What test_current.c opens: its thread-locals are of the model that it is compiled for. Each thread has its own `attached`, in the
 * midst of others. */
static __thread void *before[5];
static __thread void *attached;
static __thread void *after[5];

void *late_attached(void);
void late_attach(void *state);

void *late_attached(void) {
    return attached;
}

void late_attach(void *state) {
    before[1] = after[2] = state; /* as the gilstate slot holds the same pointer in 3.15 */
    attached = state;
}
