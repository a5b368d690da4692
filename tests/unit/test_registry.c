#include "states/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static void *at(uintptr_t number) {
    return (void *)(number * 16 + 0x1000);
}

static int one, two, three;

static void takes_and_finds(void) {
    struct registry_entry entry;
    CHECK(!registry_find(at(1), &entry));
    CHECK(registry_take(at(1), &one, 5, false));
    CHECK(registry_find(at(1), &entry) && entry.state == at(1) && entry.owner == &one && entry.taken == 5 &&
          !entry.is_dead);
    CHECK(registry_take(at(1), &two, 6, true));
    CHECK(registry_find(at(1), &entry) && entry.owner == &two && entry.taken == 6);
    CHECK(registry_count() == 1);
    registry_remove(at(1));
    registry_remove(at(1));
    CHECK(!registry_find(at(1), &entry) && registry_count() == 0);
}

/* Who has it in a slot must be told of its death first. */
static void what_has_moved_is_not_just_removed(void) {
    struct registry_entry entry;
    registry_add(at(1), &one, 0, false, 5);
    CHECK(registry_find(at(1), &entry) && entry.owner == &one && entry.taken == 5 && entry.birth != 0);
    registry_take(at(1), &two, 6, true);
    CHECK(!registry_remove_unmoved(at(1)) && !registry_remove_unmoved_of(at(1), &two));
    CHECK(registry_remove_unmoved_of(at(1), &one)); /* it is not that one's */
    CHECK(registry_find(at(1), &entry) && entry.owner == &two);
    registry_remove(at(1));
    CHECK(!registry_find(at(1), &entry) && registry_remove_unmoved(at(1)) && registry_remove_unmoved_of(at(1), &two));
    registry_add(at(1), &one, 0, false, 7);
    CHECK(registry_remove_unmoved(at(1)) && !registry_find(at(1), &entry) && registry_count() == 0);
}

static int moves_of(const void *state) {
    struct registry_entry entry;
    return registry_find(state, &entry) ? entry.moves : -1;
}

static void who_has_it_back_takes_no_turn(void) {
    registry_clear();
    registry_add(at(1), NULL, 7, false, 1);
    registry_take(at(1), &one, 1, false);
    CHECK(moves_of(at(1)) == 0);
    registry_take(at(1), &two, 2, true);
    CHECK(moves_of(at(1)) == 1);
    registry_take(at(1), &one, 3, true);
    registry_take(at(1), &two, 4, true);
    CHECK(moves_of(at(1)) == 1);
    registry_take(at(1), &three, 5, true);
    registry_take(at(1), &one, 6, true);
    CHECK(moves_of(at(1)) == 2); /* no more are counted */
    registry_clear();
}

static void what_a_library_has_filed_is_no_pools(void) {
    struct registry_entry entry;
    registry_clear();
    registry_add(at(1), NULL, 7, false, 1);
    registry_take(at(1), &one, 1, false);
    registry_take(at(1), &two, 2, true);
    registry_take(at(1), &three, 3, true);
    CHECK(moves_of(at(1)) == 2);
    CHECK(registry_find_filed(at(1), &entry) && entry.is_filed && entry.moves == 0);
    registry_take(at(1), &one, 4, true);
    registry_take(at(1), &two, 5, true);
    CHECK(moves_of(at(1)) == 0);
    registry_bury(at(1), 6);
    CHECK(registry_find_filed(at(1), &entry) && !entry.is_filed);
    CHECK(!registry_find_filed(at(2), &entry) && !entry.is_filed);
    registry_clear();
}

static void a_state_that_has_moved_can_be_given_up(void) {
    struct registry_entry entry;
    CHECK(!registry_give_up(at(1), &one));
    registry_take(at(1), &one, 5, false);
    CHECK(!registry_give_up(at(1), &one)); /* it has not moved */
    registry_take(at(1), &two, 6, true);
    CHECK(!registry_give_up(at(1), &one) && !registry_take_back(at(1), &one, 0, 7));
    CHECK(registry_give_up(at(1), &two) && !registry_give_up(at(1), &two));
    CHECK(registry_find(at(1), &entry) && !entry.owner && entry.is_given_up && !entry.is_dead);
    CHECK(!registry_take_back(at(1), &one, 1, 7)); /* another one */
    CHECK(registry_take_back(at(1), &one, 0, 7) && !registry_take_back(at(1), &two, 0, 8));
    CHECK(registry_find(at(1), &entry) && entry.owner == &one && entry.taken == 7 && !entry.is_given_up);
    CHECK(registry_give_up(at(1), &one) && registry_take(at(1), &two, 9, true));
    CHECK(registry_find(at(1), &entry) && entry.owner == &two && !entry.is_given_up);
    CHECK(registry_give_up(at(1), &two));
    registry_bury(at(1), 10);
    CHECK(!registry_take_back(at(1), &one, 0, 11));
    registry_clear();
    CHECK(!registry_take_back(at(1), &one, 0, 12) && registry_count() == 0);
}

static void tells_a_new_state_from_an_old_one_at_its_address(void) {
    struct registry_entry first, second;
    registry_add(at(2), NULL, 0, false, 0);
    CHECK(registry_find(at(2), &first) && first.birth != 0 && !first.owner && !first.is_dead);
    registry_take(at(2), &one, 1, false);
    CHECK(registry_find(at(2), &second) && second.birth == first.birth);
    registry_bury(at(2), 9);
    CHECK(registry_find(at(2), &second) && second.is_dead && !second.owner && second.died == 9 &&
          second.birth == first.birth);
    registry_add(at(2), NULL, 0, false, 0);
    CHECK(registry_find(at(2), &second) && !second.is_dead && second.birth != first.birth);
    registry_bury(at(2), 10);
    registry_take(at(2), &two, 11, true); /* CPython made it, unseen */
    CHECK(registry_find(at(2), &second) && !second.is_dead && second.birth == 0 && second.died == 10);
    registry_clear();
    CHECK(registry_count() == 0);
}

/* A thread may look only after the next state at the address has come and gone, too. */
static void remembers_a_death_beyond_the_next_state_at_its_address(void) {
    struct registry_entry entry;
    registry_add(at(3), NULL, 0, false, 0);
    registry_bury(at(3), 7);
    registry_add(at(3), NULL, 0, false, 0);
    CHECK(registry_find(at(3), &entry) && entry.died == 7 && !entry.is_dead);
    registry_take(at(3), &one, 8, false);
    CHECK(registry_remove_unmoved_of(at(3), &two));
    CHECK(registry_find(at(3), &entry) && entry.owner == &one && entry.died == 7);
    CHECK(registry_remove_unmoved_of(at(3), &one));
    CHECK(!registry_find(at(3), &entry) && entry.died == 7);
    registry_take(at(3), &two, 9, false);
    registry_remove_owner(&two);
    CHECK(!registry_find(at(3), &entry) && entry.died == 7 && registry_count() == 1);
    registry_remove(at(3));
    CHECK(!registry_find(at(3), &entry) && entry.died == 7 && !entry.owner);
    registry_clear();
    CHECK(registry_count() == 0);
}

/* Who has it in a slot must be told of its death, whoever's thread ended meanwhile. */
static void keeps_what_has_moved_when_its_owner_ends(void) {
    struct registry_entry entry;
    registry_add(at(4), NULL, 0, false, 0);
    registry_take(at(4), &one, 1, false);
    registry_take(at(4), &two, 2, true);
    registry_take(at(5), &two, 2, false);
    CHECK(registry_find(at(4), &entry) && entry.moves == 1);
    registry_take(at(6), &one, 1, false); /* its making was not seen */
    registry_take(at(6), &two, 2, true);
    registry_leave_owner(&two, 1);
    CHECK(registry_find(at(4), &entry) && !entry.owner && entry.has_moved && !entry.is_given_up && entry.moves == 1);
    CHECK(registry_find(at(6), &entry) && !entry.owner && entry.has_moved && !entry.moves);
    CHECK(!registry_find(at(5), &entry));
    registry_clear();
}

static void forgets_an_owner(void) {
    struct registry_entry entry;
    for (uintptr_t i = 0; i < 1000; i++)
        registry_take(at(i), i % 3 ? (void *)&one : (void *)&two, 1, false);
    registry_remove_owner(&one);
    for (uintptr_t i = 0; i < 1000; i++)
        CHECK(registry_find(at(i), &entry) == (i % 3 == 0));
    registry_clear();
    CHECK(registry_count() == 0 && !registry_find(at(0), &entry));
    registry_remove_owner(&two);
}

static void forget(struct registry_entry *m, uint32_t *count) {
    *count -= m->state && !m->died;
    *m = (struct registry_entry){.state = m->died ? m->state : NULL, .died = m->died, .is_history = m->died != 0};
}

/* Against the simplest table there is: one place per state. */
static void behaves_like_a_simple_table(void) {
    enum { STATES = 700, OWNERS = 5, STEPS = 200000 };
    static struct registry_entry model[STATES];
    static char owners[OWNERS];
    unsigned seed = 42;
    uint32_t count = 0;
    for (uint32_t step = 1; step <= STEPS; step++) {
        seed = seed * 1103515245u + 12345u;
        unsigned state = (seed >> 8) % STATES, what = (seed >> 24) % 16;
        seed = seed * 1103515245u + 12345u;
        char *owner = &owners[(seed >> 16) % OWNERS];
        struct registry_entry *m = &model[state];
        if (what < 7) {
            registry_take(at(state), owner, step, false);
            count += !m->state;
            *m = (struct registry_entry){.state = at(state), .owner = owner, .taken = step, .died = m->died};
        } else if (what < 10) {
            registry_remove(at(state));
            forget(m, &count);
        } else if (what < 12) {
            registry_bury(at(state), step);
            count += !m->state;
            *m = (struct registry_entry){.state = at(state), .died = step, .is_dead = true};
        } else if (what < 14) {
            const void *maker = what == 12 ? owner : NULL;
            registry_add(at(state), maker, 0, false, step);
            count += !m->state;
            *m = (struct registry_entry){.state = at(state), .owner = maker, .taken = step, .died = m->died};
        } else if (what == 14 && step % 64 == 0) {
            registry_remove_owner(owner);
            for (unsigned i = 0; i < STATES; i++) {
                if (model[i].state && model[i].owner == owner)
                    forget(&model[i], &count);
            }
        } else {
            struct registry_entry entry;
            bool found = registry_find(at(state), &entry);
            CHECK(found == (m->state && !m->is_history) && entry.died == m->died);
            if (found)
                CHECK(entry.owner == m->owner && entry.is_dead == m->is_dead && (!m->owner || entry.taken == m->taken));
        }
        if (registry_count() != count) {
            CHECK(registry_count() == count);
            break;
        }
    }
    registry_clear();
}

static void *hammer(void *argument) {
    uintptr_t base = (uintptr_t)argument * 1000;
    for (uint32_t i = 0; i < 20000; i++) {
        void *state = at(base + i % 500);
        struct registry_entry entry;
        registry_take(state, argument, i, false);
        if (!registry_find(state, &entry) || entry.owner != argument)
            return argument;
        registry_find(at(i % 4000), &entry);
        if (i % 3 == 0)
            registry_remove(state);
        if (i % 5000 == 0)
            registry_remove_owner(argument);
    }
    registry_remove_owner(argument);
    return NULL;
}

static void many_threads(void) {
    pthread_t threads[8];
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        CHECK(!failed);
    }
    CHECK(registry_count() == 0);
}

/* A fork while another thread is inside: the child can go on. */
static volatile int stop;
static void *churn(void *unused) {
    (void)unused;
    for (uintptr_t i = 0; !stop; i++)
        registry_take(at(i % 100), &one, 1, false);
    return NULL;
}

static void survives_fork(void) {
    pthread_t thread;
    pthread_atfork(registry_before_fork, registry_after_fork, registry_after_fork);
    pthread_create(&thread, NULL, churn, NULL);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct registry_entry entry;
            alarm(10);
            registry_take(at(5000), &two, 1, false);
            _exit(!registry_find(at(5000), &entry));
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    stop = 1;
    pthread_join(thread, NULL);
    registry_clear();
}

int main(void) {
    RUN(takes_and_finds);
    RUN(what_has_moved_is_not_just_removed);
    RUN(who_has_it_back_takes_no_turn);
    RUN(what_a_library_has_filed_is_no_pools);
    RUN(a_state_that_has_moved_can_be_given_up);
    RUN(tells_a_new_state_from_an_old_one_at_its_address);
    RUN(remembers_a_death_beyond_the_next_state_at_its_address);
    RUN(keeps_what_has_moved_when_its_owner_ends);
    RUN(forgets_an_owner);
    RUN(behaves_like_a_simple_table);
    RUN(many_threads);
    RUN(survives_fork);
    return test_end();
}
