#include "system/symbol_json.h"

#include "system/symbol.h"
#include "system/text.h"

void symbol_json(struct json *json, const char *key, const void *address) {
    char buffer[1500];
    struct text text = text_start(buffer, sizeof buffer);
    symbol_add(&text, address);
    json_string(json, key, address ? text_end(&text) : NULL);
}
