#include "start/fork.h"

#include <errno.h>
#include <pthread.h>

#include "cpython/head_lock.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "diagnose/observe.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "process/locks.h"
#include "process/options.h"
#include "rules/reconcile.h"
#include "states/dead_states.h"
#include "states/owner_pool.h"
#include "states/registry.h"
#include "system/loader.h"

static bool is_served(void) {
    return options.mode != MODE_OFF && real_is_served() && interp_is_there();
}

static void take_all(void) {
    int saved_errno = errno; /* a handler that forks may have interrupted anything */
    if (is_served() && options_repairs(REPAIR_fork)) {
        head_lock_before_fork();
    }
    errno = saved_errno;
    real_before_fork();
    owner_pool_before_fork();
    registry_before_fork();
    dead_states_before_fork();
    loader_before_fork();
    locks_all_held(true);
}

static void give_all(bool is_child) {
    locks_all_held(false);
    loader_after_fork(is_child);
    dead_states_after_fork();
    registry_after_fork();
    owner_pool_after_fork();
    real_after_fork();
}

static void give_in_parent(void) {
    give_all(false);
}

static void give_in_child(void) {
    int saved_errno = errno;
    give_all(true);
    if (is_served()) {
        struct report_call around = report_call; /* the fork may be inside of one */
        report_call = (struct report_call){NULL, JOURNAL_NO_CALL, __builtin_frame_address(0)};
        (options.mode == MODE_REPAIR ? reconcile_in_child : observe_in_child)();
        report_call = around;
    }
    errno = saved_errno;
}

bool fork_prepare(void) {
    return pthread_atfork(take_all, give_in_parent, give_in_child) == 0;
}
