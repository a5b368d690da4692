#include "process/log_form.h"

#include <stdint.h>
#include <time.h>

#include "process/options.h"

struct text log_form_start(char *buffer, size_t capacity, pid_t pid) {
    struct text text = text_start(buffer, capacity);
    text_add(&text, "==");
    text_add_decimal(&text, (uint64_t)pid);
    text_add(&text, "== gilshim: ");
    return text;
}

struct json log_form_json(char *buffer, size_t capacity, const char *type, pid_t pid, pid_t tid) {
    struct json json = json_start(buffer, capacity);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_seconds(&json, "time", (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    json_number(&json, "pid", (uint64_t)pid);
    if (tid) {
        json_number(&json, "tid", (uint64_t)tid);
    }
    json_string(&json, "type", type);
    return json;
}

struct text log_form_message(char *buffer, size_t capacity, const char *line, pid_t pid, pid_t tid) {
    if (options.log_format == LOG_JSON) {
        struct json json = log_form_json(buffer, capacity, "message", pid, tid);
        json_string(&json, "text", line);
        return json_end(&json);
    }
    struct text text = log_form_start(buffer, capacity, pid);
    text_add(&text, line);
    return text;
}

size_t log_form_end(struct text *text) {
    text_end(text);
    if (options.log_format == LOG_TEXT) {
        text_disarm(text->buffer, text->length, options.color != COLOR_NEVER);
    }
    text->buffer[text->length] = '\n';
    return text->length + 1;
}
