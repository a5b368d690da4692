/* nesting.c and blocks.c: which call begins a block, and which ends one. No Python is needed: a state is an address and
 * a count. Each line of a test is a call as the rules pass it on. */
#include "rules/nesting.h"

#include <stdlib.h>
#include <string.h>

#include "cpython/counter.h"
#include "rules/reconcile.h"
#include "system/loader.h"
#include "test.h"

enum { STATES = 8 };
static int counts[STATES];
static const PyThreadState *told, *filed, *guest;

static PyThreadState *state(int number) {
    return (PyThreadState *)&counts[number];
}
int counter_read(const PyThreadState *of) {
    return *(const int *)of;
}
bool owner_was_just_told(const struct owner *me, const PyThreadState *of) {
    return me && of == told;
}
bool owner_files(const struct owner *me, const PyThreadState *of) {
    return me && of == filed;
}
bool owner_is_guest(struct owner *me, const PyThreadState *of) {
    return me && of == guest;
}
/* An object is 100 bytes of code. */
uintptr_t loader_object_of(const void *address) {
    return (uintptr_t)address / 100;
}

static struct owner owner;
static struct owner *me = &owner;
static const void *const library = (void *)100, *const program = (void *)210, *const same_program = (void *)290;

static void reset(void) {
    me->blocks.count = 0;
    for (int i = 0; i < STATES; i++)
        counts[i] = 0;
    told = filed = guest = NULL;
}
static bool open_are(uint32_t count) {
    if (me->blocks.count != count)
        printf("# %u blocks are open\n", me->blocks.count);
    return me->blocks.count == count;
}
static const struct block *save(PyThreadState *what, const void *caller) {
    return nesting_detach(me, what, false, caller);
}
static const struct block *release_thread(PyThreadState *what) {
    return nesting_detach(me, what, true, program);
}
static PyThreadState *last_detached(void) {
    const struct block *block = blocks_last_detached(&me->blocks);
    return block ? block->state : NULL;
}
/* pybind11's acquire: asks its key, attaches, counts. */
static void library_begins(PyThreadState *what) {
    told = what;
    nesting_begin(me, what, BLOCK_BY_ACQUIRE);
    told = NULL;
    ++*(int *)what;
}
static void library_begins_over(PyThreadState *what, PyThreadState *beneath) {
    told = what;
    nesting_begin_over(me, what, beneath, BLOCK_BY_ACQUIRE, library);
    told = NULL;
    ++*(int *)what;
}
static const struct block *library_ends(PyThreadState *what) {
    --*(int *)what;
    return save(what, library);
}

static void release_blocks_end_by_any_attach(void) {
    reset();
    CHECK(!save(state(1), library) && last_detached() == state(1));
    nesting_begin(me, state(1), BLOCK_BY_RESTORE);
    CHECK(open_are(0));
    CHECK(!release_thread(state(1)) && last_detached() == state(1));
    nesting_begin(me, state(1), BLOCK_BY_ACQUIRE);
    CHECK(open_are(0));
    nesting_swap(me, state(1), NULL);
    CHECK(last_detached() == state(1));
    nesting_swap(me, NULL, state(1));
    CHECK(open_are(0));
}

static void ends_need_not_come_in_order(void) {
    reset();
    save(state(1), library);
    save(state(2), library);
    nesting_begin(me, state(1), BLOCK_BY_RESTORE);
    CHECK(open_are(1) && last_detached() == state(2));
    save(state(1), library);
    CHECK(last_detached() == state(1));
    nesting_begin(me, state(2), BLOCK_BY_RESTORE);
    nesting_begin(me, state(1), BLOCK_BY_RESTORE);
    CHECK(open_are(0));
}

/* What is begun unseen, or ended unseen, does not pile up. */
static void unseen_calls_do_not_pile_up(void) {
    reset();
    for (int i = 0; i < 10; i++)
        save(state(1), library); /* RestoreThread unseen */
    CHECK(open_are(1));
    for (int i = 0; i < 10; i++) {
        library_begins(state(1)); /* its end unseen */
        counts[1]--;
    }
    CHECK(open_are(2));
    nesting_begin(me, state(1), BLOCK_BY_ENSURE); /* so its Release */
    nesting_begin(me, state(1), BLOCK_BY_ENSURE);
    CHECK(open_are(2));
}

static void pybind11s_block_ends_by_its_count(void) {
    reset();
    counts[2] = 3;
    library_begins_over(state(2), state(1));
    CHECK(!save(state(2), library)); /* a release block inside, from the same object */
    nesting_begin(me, state(2), BLOCK_BY_RESTORE);
    CHECK(!release_thread(state(2)));
    nesting_begin(me, state(2), BLOCK_BY_ACQUIRE);
    const struct block *over = library_ends(state(2));
    CHECK(over && over->state == state(2) && over->beneath == state(1) && over == blocks_top(&me->blocks));
}

/* Over a held GIL, with nothing attached inside, in the same state: its end is not the outer one's. */
static void a_block_in_a_release_block_is_not_the_outer_one(void) {
    reset();
    library_begins_over(state(2), state(1));
    save(state(2), program);
    library_begins(state(2));
    CHECK(!library_ends(state(2)));
    CHECK(open_are(2) && last_detached() == state(2));
    nesting_begin(me, state(2), BLOCK_BY_ENSURE);
    counts[2]++;
    CHECK(!release_thread(state(2)) && open_are(4));
    nesting_begin(me, state(2), BLOCK_BY_ACQUIRE);
    counts[2]--; /* Release */
    blocks_remove(&me->blocks, blocks_top(&me->blocks));
    nesting_begin(me, state(2), BLOCK_BY_RESTORE);
    CHECK(library_ends(state(2)) && open_are(1));
}

static void hand_made_blocks_end_by_release_thread(void) {
    reset();
    nesting_begin_over(me, state(2), state(1), BLOCK_BY_ACQUIRE, program);
    CHECK(!save(state(2), program));
    nesting_begin(me, state(2), BLOCK_BY_RESTORE);
    counts[2]++; /* Ensure */
    CHECK(!release_thread(state(2)));
    nesting_begin(me, state(2), BLOCK_BY_ACQUIRE);
    counts[2]--;
    CHECK(release_thread(state(2)));
}

static void whoever_restored_a_state_saves_it(void) {
    reset();
    nesting_begin_over(me, state(2), state(1), BLOCK_BY_RESTORE, program);
    CHECK(!save(state(2), library));
    nesting_begin(me, state(2), BLOCK_BY_RESTORE);
    CHECK(save(state(2), same_program));
}

/* gil_scoped_acquire, inc_ref, the end of it; ...; again, with dec_ref. */
static void a_state_kept_by_its_counter_stays_the_threads(void) {
    reset();
    filed = state(1); /* just made by the library */
    nesting_begin(me, state(1), BLOCK_BY_ACQUIRE);
    counts[1] += 2;
    CHECK(!library_ends(state(1)) && last_detached() == state(1));
    nesting_begin(me, state(2), BLOCK_BY_ACQUIRE); /* a program's own */
    library_begins_over(state(1), state(2));
    CHECK(last_detached() == state(1));
    CHECK(library_ends(state(1)));
    blocks_remove(&me->blocks, blocks_top(&me->blocks));
    blocks_forget(&me->blocks, state(2));
    CHECK(last_detached() == state(1));
    library_begins(state(1));
    counts[1]--;
    library_ends(state(1)); /* CPython's own count would be 0 now, and the state gone */
    CHECK(open_are(0));
}

static void a_kept_state_that_is_shared_goes_back_to_its_release_block(void) {
    reset();
    counts[1] = 1;
    save(state(1), program);
    library_begins(state(1));
    counts[1]++;
    CHECK(!library_ends(state(1)) && open_are(3));
    library_begins(state(1));
    counts[1]--;
    CHECK(!library_ends(state(1)) && open_are(1));
    nesting_begin(me, state(1), BLOCK_BY_RESTORE);
    CHECK(open_are(0));
}

/* Another state's block that an unseen call attached is not the one over a held GIL that it looks like. */
static void a_swap_hides_the_block_beneath(void) {
    reset();
    nesting_begin_over(me, state(1), state(1), BLOCK_BY_ACQUIRE, program);
    nesting_swap(me, state(1), state(2));
    CHECK(!release_thread(state(1))); /* it was attached by an Ensure that nobody saw */
    nesting_begin(me, state(1), BLOCK_BY_ACQUIRE);
    nesting_swap(me, state(2), state(1));
    CHECK(open_are(1) && release_thread(state(1)));
}

/* Py_NewInterpreter detaches, Py_EndInterpreter leaves nothing attached: the Swap back ends no release block. */
static void a_release_block_around_another_goes_on(void) {
    reset();
    save(state(1), program);
    library_begins(state(1));
    nesting_swap(me, NULL, state(1));
    CHECK(open_are(2) && last_detached() == state(1));
    library_ends(state(1));
    nesting_begin(me, state(1), BLOCK_BY_RESTORE);
    CHECK(open_are(0));
}

static void swaps_do_not_pile_up(void) {
    reset();
    nesting_begin_over(me, state(1), state(0), BLOCK_BY_ACQUIRE, program);
    for (int i = 0; i < 10; i++) {
        nesting_swap(me, state(1), state(2));
        nesting_swap(me, state(2), state(3));
        nesting_swap(me, state(3), state(1));
    }
    CHECK(open_are(1));
    nesting_swap(me, state(1), state(0)); /* the block was ended by hand */
    CHECK(open_are(0));
    for (int i = 0; i < 10; i++)
        nesting_swap(me, state(i % 5), state((i + 1) % 5)); /* without any block there is nothing to note */
    CHECK(open_are(0));
}

static void the_dead_leave(void) {
    reset();
    save(state(1), program);
    nesting_begin_over(me, state(2), state(3), BLOCK_BY_ACQUIRE, program);
    save(state(2), program);
    blocks_forget(&me->blocks, state(3));
    CHECK(open_are(3) && blocks_find(&me->blocks, BLOCK_OVER, state(2))->is_beneath_lost);
    blocks_lose(&me->blocks, state(2));
    CHECK(open_are(2) && last_detached() == state(1));
    blocks_forget(&me->blocks, state(2));
    CHECK(open_are(1));
    blocks_lose(&me->blocks, state(1));
    CHECK(open_are(0));
}

/* Every list of two blocks: nesting_is_release says yes if nesting_detach, whoever calls, does nothing but to push one more. */
enum { KINDS = 4, WAYS = 4 };
static struct block block_of(unsigned number) {
    return (struct block){.kind = number % KINDS,
                          .by = number / KINDS % WAYS,
                          .state = state(number / KINDS / WAYS % 2),
                          .beneath = state(2),
                          .counter = (int)(number / KINDS / WAYS / 2 % 3),
                          .object = (uintptr_t)library / 100};
}
static bool just_pushes(const struct block *before, bool is_release_thread, const void *caller) {
    memcpy(me->blocks.items, before, 2 * sizeof *before);
    me->blocks.count = 2;
    const struct block *over = nesting_detach(me, state(0), is_release_thread, caller);
    const struct block *top = blocks_top(&me->blocks);
    return !over && me->blocks.count == 3 && memcmp(me->blocks.items, before, 2 * sizeof *before) == 0 &&
           top->kind == BLOCK_DETACH && top->state == state(0);
}
static void a_release_is_told_from_an_end(void) {
    enum { NUMBERS = KINDS * WAYS * 2 * 3 };
    reset();
    counts[0] = 1;
    for (int i = 0; i < 3; i++) /* room */
        blocks_push(&me->blocks, BLOCK_DETACH, state(1));
    unsigned releases = 0, ends = 0;
    for (unsigned i = 0; i < NUMBERS * NUMBERS * 2; i++) {
        const struct block before[] = {block_of(i / 2 % NUMBERS), block_of(i / 2 / NUMBERS)};
        bool is_release_thread = i % 2;
        bool expected =
            just_pushes(before, is_release_thread, library) && just_pushes(before, is_release_thread, program);
        memcpy(me->blocks.items, before, sizeof before);
        me->blocks.count = 2;
        CHECK(nesting_is_release(me, state(0), counts[0], is_release_thread) == expected);
        *(expected ? &releases : &ends) += 1;
    }
    CHECK(releases > 1000 && ends > 1000);
}

/* Who may use it in turn with others does not go on with it by itself, but with what is its own beneath. */
static void a_guest_is_not_gone_on_with(void) {
    reset();
    nesting_begin(me, state(1), BLOCK_BY_ACQUIRE);
    CHECK(!save(state(1), library));
    nesting_begin(me, state(2), BLOCK_BY_RESTORE);
    guest = state(2);
    CHECK(!save(state(2), library) && last_detached() == state(2));
    CHECK(blocks_last_own_detached(&me->blocks)->state == state(1));
    nesting_begin(me, state(2), BLOCK_BY_RESTORE);
    nesting_swap(me, state(2), NULL);
    CHECK(last_detached() == state(2) && blocks_last_own_detached(&me->blocks)->state == state(1));
    blocks_forget(&me->blocks, state(1));
    CHECK(last_detached() == state(2) && !blocks_last_own_detached(&me->blocks));
}

int main(void) {
    RUN(a_release_is_told_from_an_end);
    RUN(release_blocks_end_by_any_attach);
    RUN(ends_need_not_come_in_order);
    RUN(unseen_calls_do_not_pile_up);
    RUN(pybind11s_block_ends_by_its_count);
    RUN(a_block_in_a_release_block_is_not_the_outer_one);
    RUN(hand_made_blocks_end_by_release_thread);
    RUN(whoever_restored_a_state_saves_it);
    RUN(a_state_kept_by_its_counter_stays_the_threads);
    RUN(a_kept_state_that_is_shared_goes_back_to_its_release_block);
    RUN(a_swap_hides_the_block_beneath);
    RUN(a_release_block_around_another_goes_on);
    RUN(swaps_do_not_pile_up);
    RUN(the_dead_leave);
    RUN(a_guest_is_not_gone_on_with);
    return test_end();
}
