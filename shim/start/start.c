#include "hooks/binding.h"
#include "hooks/gear.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "cpython/api_calls.h"
#include "cpython/counter.h"
#include "cpython/current.h"
#include "cpython/interp.h"
#include "cpython/slot.h"
#include "diagnose/check_calls.h"
#include "diagnose/crash.h"
#include "diagnose/fatal.h"
#include "diagnose/leftover_states.h"
#include "diagnose/lock_order.h"
#include "diagnose/report.h"
#include "diagnose/stacks.h"
#include "diagnose/stall.h"
#include "diagnose/summary.h"
#include "diagnose/suppress.h"
#include "diagnose/timeline.h"
#include "hooks/lock_binding.h"
#include "hooks/tell.h"
#include "journal/journal.h"
#include "process/background.h"
#include "process/options.h"
#include "process/streams.h"
#include "rules/reconcile.h"
#include "start/check.h"
#include "start/fatal_signals.h"
#include "start/fork.h"
#include "states/owner.h"
#include "system/aside.h"
#include "system/dlsym_hook.h"
#include "system/loader.h"
#include "system/path.h"
#include "system/signal_stack.h"
#include "system/text.h"
#include "version.h"

/* The shim recognizes itself among the loaded objects by this name. */
extern const char gilshim_version[];
__attribute__((visibility("default"))) const char gilshim_version[] = GILSHIM_VERSION;

static void tell_binding(void) {
    char buffer[900];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "bound to ");
    interp_describe(&text);
    text_add(&text, ": ");
    text_add_decimal(&text, real_status.bound);
    text_add(&text, " functions, ");
    text_add_decimal(&text, real_status.redirected);
    text_add(&text, " exports redirected, ");
    text_add_decimal(&text, real_status.given_back);
    text_add(&text, " calls inside CPython left direct, ");
    text_add_decimal(&text, real_status.missing);
    text_add(&text, " not in this version");
    report_line(text_end(&text));
}

static void tell_refusal(const char *what) {
    char buffer[900];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "nothing is repaired in this process: ");
    text_add(&text, what);
    text_add(&text, " (");
    text_add(&text, real_status.path);
    text_add(&text, ")");
    report_line(text_end(&text));
}

/* Tells the faults of the options once, and only where there is a CPython: a process without one stays silent. */
static void tell_options(void) {
    static int told;
    if (__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED)) {
        return;
    }
    options_complain(report_line);
    if (options.suppressions[0] && !suppress_read(options.suppressions, report_line)) {
        report_line("warning: the file of suppressions can't be read: nothing is suppressed");
    }
    if (options.help) {
        options_help(report_line);
    }
}

/* Tells once, and only where repairs are reported, that a thread goes without repairs. */
static void tell_no_room(void) {
    static int told;
    if (options.verbosity >= 1 && !__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED)) {
        report_line("warning: no memory, or no room for thread-specific data: nothing is repaired on a thread");
    }
}

static void tell_of_binding(void *unused) {
    (void)unused;
    report_open();
    tell_options();
    if (real_is_ambiguous) {
        report_tell(REPORT_WARNING, REPORT_two_libpythons, NULL, NULL, NULL);
    } else if (real_status.binding == REAL_REFUSED && options.verbosity >= 1) {
        tell_refusal(real_status.refusal);
    } else if (options.verbosity >= 2) {
        tell_binding();
    }
}

/* Called when a look has found another CPython, or none any more. */
static void learn(void) {
    if (!real_is_bound()) {
        interp_next_epoch(); /* no thread may stay in a gear of its own */
        return;
    }
    interp_learn();
    journal_is_parallel = interp_is_free_threaded;
    counter_forget();
    current_forget();
    reconcile_forget_interpreter();
    bool has_work_at_end = options.summary || options.timeline[0];
    if (has_work_at_end || options.crash) {
        fatal_signals_watch(has_work_at_end);
        signal_stack_give();
    }
    if (journal_is_on || options.verbosity >= 1) {
        stacks_prepare(); /* so that nothing need be loaded when the process is dying */
    }
    if (options.check_calls && options.mode != MODE_OFF && real_is_served() && !real_is_ambiguous) {
        check_calls_start();
    }
    aside_run(tell_of_binding, NULL); /* the host may be opening its libpython on a thread with a small stack */
}

/* A CPython that was there at the start can't be closed. One that is opened later may bring its callers with it, which
 * then call it without asking anybody (RTLD_DEEPBIND); but whoever opens such a library, looks up its functions. */
static void watch_handles(void) {
    bool may_change = real_status.binding == REAL_UNBOUND || real_status.binding == REAL_LATE;
    __atomic_store_n(&dlsym_hook_is_wide, may_change && options.mode != MODE_OFF, __ATOMIC_RELAXED);
}

static bool bind(bool starting) {
    unsigned generation = real_status.generation;
    bool is_bound = real_bind(starting);
    lock_binding_look();
    unsigned changes = __atomic_load_n(&real_changes, __ATOMIC_SEQ_CST); /* others may find more meanwhile */
    if (real_status.generation != generation) {
        learn();
    } else {
        api_calls_look_again();
    }
    if (real_is_served() && !real_is_ambiguous && options.mode != MODE_OFF && !journal_is_on) {
        __atomic_store_n(&gear_judged_for, changes, __ATOMIC_RELAXED);
    }
    watch_handles();
    return is_bound;
}

/* Starts the shim's own threads that are wanted and not there yet: CPython has just been found, or the process has
 * forked. */
static inline void watch(void) {
    stall_look();
    timeline_look();
}

const struct real *start_pass_to(const void *caller) {
    if (!real_is_bound()) {
        bind(false);
    }
    if (real_is_bound()) {
        watch();
    }
    return start_pass_to_only(caller);
}

const struct real *start_pass_to_only(const void *caller) {
    if (!real_is_bound()) {
        bind(false);
    }
    if (!real_is_bound()) {
        return real_behind();
    }
    if (real_is_ambiguous) {
        return real_of_caller(caller);
    }
    return real_is_served() && options.mode != MODE_OFF ? NULL : &real;
}

void start_look_again(void) {
    bind(false);
}

void start_before_thread(void) {
    background_has_company = true;
    if (real_is_bound() && real_is_served()) {
        watch();
    }
}

/* ---- dlsym ------------------------------------------------------------------------------------------------------ */

/* The handles that were asked about since a library was last closed. They are only compared: one may be another preload's own. A
 * handle is noted when it has been asked about, so that no other thread goes on before that. */
enum { HANDLES = 64 };
static uintptr_t seen_handles[HANDLES];

static uintptr_t *place_of_handle(const void *handle) {
    return &seen_handles[(uintptr_t)handle / 16 % HANDLES];
}

static uintptr_t key_of_handle(const void *handle) {
    uintptr_t closings = __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
    return (uintptr_t)handle ^ closings << 48;
}

/* Returns true if a CPython other than the one that is bound is among what the handle stands for. Nobody closes that meanwhile, and
 * ld.so has relocated it. Asks as the caller is about to ask, so with the same locks; dlsym clears the message of the caller's
 * last error in any case. */
static bool brings_cpython(void *handle) {
    struct elf_object object;
    const void *found = libc_real_dlsym(handle, "PyGILState_Ensure");
    return found && elf_find_by_address(found, &object) && !real_is_self(&object);
}

static void bind_held(void) {
    bind(false);
}

/* The caller may hold no handle of a libpython that is open, and another thread close it in the middle of a look, of which ld.so's
 * dlsym takes care for itself. */
static bool bind_for_dlsym(void) {
    if (real_has_news()) {
        loader_hold(bind_held);
    } else {
        lock_binding_look();
        api_calls_look_again();
    }
    return real_is_bound();
}

/* Called by the exported dlsym when CPython imports an extension module, when a caller asks for one of our names, and, as
 * watch_handles says, for any name in a handle.
 * The libpython that defines the name may have been opened a moment ago (Vim, R's reticulate and uwsgi take all
 * pointers right after dlopen), so its exports are redirected before the name is looked up. Returns the name to look
 * up. */
const char *start_before_dlsym(void *handle, const char *name) {
    if (strncmp(name, "Py", 2) != 0) {
        uintptr_t *place = place_of_handle(handle), key = key_of_handle(handle);
        if (__atomic_load_n(place, __ATOMIC_ACQUIRE) != key) {
            if (brings_cpython(handle)) {
                bind_for_dlsym();
            }
            __atomic_store_n(place, key, __ATOMIC_RELEASE);
        }
        return name;
    }
    if (strncmp(name, "PyInit_", 7) == 0) {
        interp_note_import();
        lock_binding_look(); /* the module may have brought a C++ runtime */
        return name;
    }
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        if (strcmp(name, real_api_names[i]) == 0) {
            bool is_bound = bind_for_dlsym();
            /* Our own exports must not answer the question "Is there a Python in this process?". dlopen(NULL) returns
             * the first link map as a handle. */
            bool asks_process = handle == RTLD_DEFAULT || handle == RTLD_NEXT || handle == _r_debug.r_map;
            return is_bound || !asks_process ? name : "Py (no CPython in this process)";
        }
    }
    return name;
}

/* ---- constructor ------------------------------------------------------------------------------------------------ */

__attribute__((constructor)) static void start(void) {
    streams_start();
    path_start();
    options_read();
    loader_start();
    bool is_forkable = fork_prepare();
    if (!is_forkable || !owner_start()) {
        options.mode = MODE_OFF;
        report_line(is_forkable ? "warning: no thread-specific key left: nothing is repaired"
                                : "warning: no memory for fork handlers: nothing is repaired");
    }
    report_abort = abort;
    owner_before_end = tell_thread_ends;
    owner_interpreter_ended =
        options.mode == MODE_REPAIR && options_repairs(REPAIR_finalize) ? reconcile_after_finalize : NULL;
    owner_without_record = slot_without_room = tell_no_room;
    journal_before_end = options.mode == MODE_REPAIR ? NULL : leftover_thread_ends_observed;
    int history = options.timeline[0] && options.history < TIMELINE_EVENTS ? TIMELINE_EVENTS : options.history;
    bool is_recorded = options.mode != MODE_OFF && (options_look_on() || options.history || options.summary ||
                                                    options.stall_ns || options.timeline[0] || options_sanitize());
    journal_start((unsigned)history, is_recorded, is_recorded || options.verbosity);
    owner_is_recorded = journal_is_on;
    if (options_look_on() && !journal_is_on) {
        options.mode = MODE_OFF;
        report_line("warning: no thread-specific key left: nothing is reported");
    }
    background_prepare();
    leftover_prepare();
    fatal_start();
    fatal_signals_start();
    signal_stack_prepare();
    if (options.crash && options.mode != MODE_OFF) {
        crash_start();
    }
    summary_prepare();
    stall_prepare();
    timeline_prepare();
    lock_order_start();
    if (lock_order_is_on) {
        lock_binding_prepare();
    }
    bind(true);
    if (options.check) {
        check_and_exit();
    }
    if (real_is_served()) {
        watch();
    }
}
