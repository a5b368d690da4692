#include "system/symbol.h"

#include <errno.h>
#include <string.h>

#include "system/glimpse.h"
#include "system/symbol_file.h"

/* ---- C++ names -------------------------------------------------------------------------------------------------- */

/* Adds the <source-name> at *c ("3bar"), or the name that a constructor, a destructor or operator() has, and moves *c
 * past it. Returns false if there is none of these. `last` holds the last <source-name>: the class of a constructor. */
static bool add_component(struct text *text, const char **c, struct text *last) {
    const char *at = *c;
    size_t length = 0;
    if (*at >= '1' && *at <= '9') {
        for (; *at >= '0' && *at <= '9'; at++) {
            length = length < 10000 ? length * 10 + (size_t)(*at - '0') : length;
        }
        if (strnlen(at, length) < length) {
            return false;
        }
        last->length = 0;
        text_add_span(last, at, length);
        if (length == 12 && memcmp(at, "_GLOBAL__N_1", 12) == 0) {
            text_add(text, "(anonymous)");
        } else {
            text_add_span(text, at, length);
        }
        *c = at + length;
        return true;
    }
    if (last->length && (at[0] == 'C' || at[0] == 'D') && at[1] >= '0' && at[1] <= '5') {
        text_add(text, at[0] == 'D' ? "~" : "");
        text_add_span(text, last->buffer, last->length < last->capacity ? last->length : last->capacity);
        *c = at + 2;
        return true;
    }
    if (at[0] == 'c' && at[1] == 'l') {
        text_add(text, "operator()");
        *c = at + 2;
        return true;
    }
    return false;
}

void symbol_add_demangled(struct text *text, const char *name) {
    size_t start = text->length;
    char class_name[64];
    struct text last = text_start(class_name, sizeof class_name);
    const char *c = name;
    if (c[0] != '_' || c[1] != 'Z') {
        text_add(text, name);
        return;
    }
    c += 2;
    bool is_nested = *c == 'N';
    c += is_nested;
    while (is_nested && (*c == 'K' || *c == 'V' || *c == 'R' || *c == 'O')) {
        c++; /* of a const, volatile, & or && member function */
    }
    unsigned count = 0;
    if (c[0] == 'S' && c[1] == 't') {
        text_add(text, "std");
        c += 2;
        count++;
    }
    do {
        size_t before = text->length;
        if (count) {
            text_add(text, "::");
        }
        c += *c == 'L'; /* internal linkage */
        if (!add_component(text, &c, &last)) {
            text->length = before;
            break;
        }
        count++;
    } while (is_nested);
    bool is_understood = count && (!is_nested || *c == 'E' || *c == 'I');
    if (!is_understood) {
        text->length = start;
        text_add(text, name);
    } else if (*c == 'I') {
        text_add(text, "<...>");
    }
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

static void add_object_name(struct text *text, const struct glimpse *object) {
    const char *slash = strrchr(object->name, '/');
    text_add(text, object->name[0] ? (slash ? slash + 1 : object->name) : program_invocation_short_name);
}

void symbol_add_object(struct text *text, const void *address) {
    struct glimpse object;
    if (address && glimpse_take(&object, (const char *)address - 1)) {
        add_object_name(text, &object);
    } else {
        text_add(text, "?");
    }
}

/* Returns where the path below the last site-packages or dist-packages folder begins. Returns NULL if there is no such
 * folder, or if the name of the file has the package's name in it. */
static const char *path_in_package(const char *path) {
    static const char *const folders[] = {"/site-packages/", "/dist-packages/"};
    const char *slash = strrchr(path, '/'), *inside = NULL;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        for (const char *at = path; (at = strstr(at, folders[i]));) {
            at += strlen(folders[i]);
            inside = at > inside ? at : inside;
        }
    }
    size_t length = inside ? strcspn(inside, "/.") : 0;
    if (!inside || inside >= slash + 1 || length == 0 || memmem(slash, strlen(slash), inside, length)) {
        return NULL;
    }
    return inside;
}

void symbol_add_library(struct text *text, const void *address) {
    struct glimpse object;
    bool is_known = address && glimpse_take(&object, (const char *)address - 1);
    const char *path = is_known ? path_in_package(object.name) : NULL;
    if (path) {
        text_add(text, path);
    } else if (is_known) {
        add_object_name(text, &object);
    } else {
        text_add(text, "?");
    }
}

static bool find_function(const struct glimpse *object, const void *call, char *name, size_t capacity, size_t *offset) {
    return glimpse_function_at(object, call, name, capacity, offset) ||
           symbol_file_at(object, call, STT_FUNC, name, capacity, offset);
}

void symbol_add(struct text *text, const void *address) {
    struct glimpse object;
    const char *call = address ? (const char *)address - 1 : NULL;
    if (!call || !glimpse_take(&object, call)) {
        text_add_hex(text, (uintptr_t)address);
        return;
    }
    add_object_name(text, &object);
    text_add(text, "!");
    char function[1024];
    size_t offset = 0;
    if (find_function(&object, call, function, sizeof function, &offset)) {
        symbol_add_demangled(text, function);
        text_add(text, "+");
        text_add_hex(text, offset + 1);
    } else {
        text_add(text, "+");
        text_add_hex(text, (uintptr_t)address - object.bias);
    }
}

/* Adds the name of a variable. The guard of a static local variable, _ZGVZ<function>E<variable>, is known by its
 * function. */
static void add_variable(struct text *text, char *name) {
    static const char guard[] = "_ZGVZ";
    if (strncmp(name, guard, sizeof guard - 1) == 0) {
        name[sizeof guard - 3] = '_'; /* _Z<function>..., from the V on */
        symbol_add_demangled(text, name + sizeof guard - 3);
        text_add(text, ", static variable");
    } else {
        symbol_add_demangled(text, name);
    }
}

bool symbol_add_data(struct text *text, const void *address) {
    struct glimpse object;
    if (!glimpse_take(&object, address)) {
        return false;
    }
    char name[512];
    size_t offset = 0;
    add_object_name(text, &object);
    if (glimpse_symbol_at(&object, address, STT_OBJECT, name, sizeof name, &offset) ||
        symbol_file_at(&object, address, STT_OBJECT, name, sizeof name, &offset)) {
        text_add(text, "!");
        add_variable(text, name);
        if (offset) {
            text_add(text, "+");
            text_add_hex(text, offset);
        }
    }
    return true;
}

bool symbol_is(const void *address, const char *name) {
    struct glimpse object;
    char function[256];
    size_t offset;
    const char *call = address ? (const char *)address - 1 : NULL;
    return call && glimpse_take(&object, call) &&
           glimpse_function_at(&object, call, function, sizeof function, &offset) && strcmp(function, name) == 0;
}
