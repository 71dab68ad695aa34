/* The SDK: between the generated bindings (action.h) and remit.h. */
#define _GNU_SOURCE /* vasprintf, memmem */
#include "internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers up to here are exact in a double, which is what cJSON keeps. */
#define MAX_EXACT 9007199254740992.0

static char *text_of(const char *format, va_list arguments) {
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0) abort();
    return text;
}

char *remit_copied(action_string_t from) {
    char *text = malloc(from.len + 1);
    if (!text) abort();
    memcpy(text, from.ptr, from.len);
    text[from.len] = '\0';
    return text;
}

void *remit_allocated(size_t count, size_t size) {
    void *memory = calloc(count + 1, size);
    if (!memory) abort();
    return memory;
}

/* The bindings' strings are not const; they do not write to what they are given. */
action_string_t remit_borrowed(const char *text) {
    return (action_string_t){ .ptr = (uint8_t *)text, .len = strlen(text) };
}

/* Errors. */

static remit_error *error_with(enum remit_code code, const char *format, va_list arguments) {
    remit_error *error = malloc(sizeof *error);
    if (!error) abort();
    *error = (remit_error){ .code = code, .message = text_of(format, arguments) };
    return error;
}

remit_error *remit_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    remit_error *error = error_with(REMIT_FAILED, format, arguments);
    va_end(arguments);
    return error;
}

remit_error *remit_refused(const wit_remit_types_errors_failure_t *failure, const char *format, ...) {
    static const struct { enum remit_code code; const char *words; } KINDS[] = {
        [WIT_REMIT_TYPES_ERRORS_FAILURE_DENIED] = { REMIT_DENIED, "denied" },
        [WIT_REMIT_TYPES_ERRORS_FAILURE_NOT_FOUND] = { REMIT_NOT_FOUND, "not found" },
        [WIT_REMIT_TYPES_ERRORS_FAILURE_CONFLICT] = { REMIT_CONFLICT, "conflict" },
        [WIT_REMIT_TYPES_ERRORS_FAILURE_INVALID] = { REMIT_INVALID, "invalid" },
        [WIT_REMIT_TYPES_ERRORS_FAILURE_UNAVAILABLE] = { REMIT_UNAVAILABLE, "unavailable" },
    };
    va_list arguments;
    va_start(arguments, format);
    const char *doing = text_of(format, arguments);
    va_end(arguments);
    /* Every case of the variant holds a string. */
    const char *detail = remit_copied(failure->val.denied);
    remit_error *error = remit_fail("could not %s: %s: %s", doing, KINDS[failure->tag].words, detail);
    error->code = KINDS[failure->tag].code;
    return error;
}

/* The log. */

static void log_line(wit_remit_host_log_level_t level, const char *format, va_list arguments) {
    action_string_t line = remit_borrowed(text_of(format, arguments));
    wit_remit_host_log_write(level, &line);
}

#define LOG_FUNCTION(name, level)              \
    void name(const char *format, ...) {       \
        va_list arguments;                     \
        va_start(arguments, format);           \
        log_line(level, format, arguments);    \
        va_end(arguments);                     \
    }

LOG_FUNCTION(remit_debug, WIT_REMIT_HOST_LOG_LEVEL_DEBUG)
LOG_FUNCTION(remit_info, WIT_REMIT_HOST_LOG_LEVEL_INFO)
LOG_FUNCTION(remit_warn, WIT_REMIT_HOST_LOG_LEVEL_WARN)
LOG_FUNCTION(remit_log_error, WIT_REMIT_HOST_LOG_LEVEL_ERROR)

_Noreturn void remit_panic(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_line(WIT_REMIT_HOST_LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
    abort();
}

/* The run. */

struct remit_facts remit_facts(void) {
    wit_remit_host_run_run_facts_t facts;
    wit_remit_host_run_facts(&facts);
    return (struct remit_facts){
        .id = remit_copied(facts.id), .started = facts.started, .reason = remit_copied(facts.reason)
    };
}

/* JSON. */

remit_error *remit_read(const char *what, const struct remit_field *fields, const cJSON *json, void *into) {
    if (!cJSON_IsObject(json)) return remit_fail("the action's %s: expected an object", what);
    for (const cJSON *member = json->child; member; member = member->next) {
        const struct remit_field *field = fields;
        while (field->name && strcmp(field->name, member->string) != 0) field++;
        if (!field->name) return remit_fail("the action's %s: unknown field `%s`", what, member->string);
    }
    for (const struct remit_field *field = fields; field->name; field++) {
        void *to = (char *)into + field->offset;
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(json, field->name);
        bool absent = !member || cJSON_IsNull(member);
        if (absent && field->type == REMIT_OPTIONAL_TEXT) {
            *(const char **)to = NULL;
        } else if (!member) {
            return remit_fail("the action's %s: missing field `%s`", what, field->name);
        } else if (field->type == REMIT_U64) {
            double number = cJSON_IsNumber(member) ? member->valuedouble : -1;
            if (!(number >= 0 && number <= MAX_EXACT && floor(number) == number)) {
                return remit_fail("the action's %s: `%s` is not a whole number", what, field->name);
            }
            *(uint64_t *)to = (uint64_t)number;
        } else if (cJSON_IsString(member)) {
            *(const char **)to = member->valuestring;
        } else {
            return remit_fail("the action's %s: `%s` is not text", what, field->name);
        }
    }
    return NULL;
}

remit_error *remit_write(const struct remit_field *fields, const void *from, cJSON *into) {
    for (const struct remit_field *field = fields; field->name; field++) {
        const void *at = (const char *)from + field->offset;
        cJSON *value;
        if (field->type == REMIT_U64) {
            uint64_t number = *(const uint64_t *)at;
            if ((double)number > MAX_EXACT) return remit_fail("`%s` is too large for JSON", field->name);
            value = cJSON_CreateNumber((double)number);
        } else {
            const char *text = *(const char *const *)at;
            value = text ? cJSON_CreateString(text) : cJSON_CreateNull();
        }
        if (!cJSON_AddItemToObject(into, field->name, value)) abort();
    }
    return NULL;
}

/* The exports. */

static remit_error *parsed(const char *what, action_string_t *text, cJSON **json) {
    /* C text ends at a NUL: what follows one would be lost in silence. */
    if (memmem(text->ptr, text->len, "\\u0000", 6)) {
        return remit_fail("the action's %s: text with a NUL character", what);
    }
    const char *end = NULL;
    *json = cJSON_ParseWithLengthOpts((const char *)text->ptr, text->len, &end, false);
    return *json ? NULL : remit_fail("the action's %s: not JSON", what);
}

static bool ended(const remit_error *error, action_string_t *message) {
    if (error) *message = remit_borrowed(error->message);
    return !error;
}

static remit_error *call_run(action_string_t *input, action_string_t *result) {
    cJSON *json, *output = cJSON_CreateObject();
    REMIT_TRY(parsed("input", input, &json));
    REMIT_TRY(run(json, output));
    char *text = cJSON_PrintUnformatted(output);
    if (!text) abort();
    *result = remit_borrowed(text);
    return NULL;
}

static remit_error *call_verify(action_string_t *input, action_string_t *output) {
    cJSON *given, *answered;
    REMIT_TRY(parsed("input", input, &given));
    REMIT_TRY(parsed("output", output, &answered));
    return verify(given, answered);
}

bool exports_remit_action_remediation_run(
    action_string_t *input, action_string_t *result, action_string_t *message
) {
    return ended(call_run(input, result), message);
}

bool exports_remit_action_remediation_verify(
    action_string_t *input, action_string_t *output, action_string_t *message
) {
    return ended(call_verify(input, output), message);
}
