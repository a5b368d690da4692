/* Names for addresses, in JSON. As symbol.h: nothing here allocates or takes a lock; not async-signal-safe. */
#pragma once

#include "system/json.h"

/* Adds a member (or, if `key` is NULL, an element) with what symbol_add says of the return address; null if that is NULL. */
void symbol_json(struct json *json, const char *key, const void *address);
