/* Write Remit actions in C.
 *
 * An action defines `run`, which performs the repair, and `verify`, which looks, without changing anything,
 * whether it holds. Both get JSON and answer NULL, or why they failed:
 *
 *     remit_error *run(const cJSON *json, cJSON *output) {
 *         struct input in;
 *         REMIT_TRY(remit_read("input", INPUT, json, &in));
 *         struct remit_secrets_rotated rotated;
 *         REMIT_TRY(remit_secrets_rotate(in.path, NULL, &rotated));
 *         ...
 *     }
 *
 * An action reaches only what it calls in here, and only where its grant says so. The host calls `run` twice,
 * first to rehearse; the action cannot tell which, so keep it a function of its input and of what the host
 * answers. Nothing that these functions return needs to be freed: the instance is gone after the call. */
#ifndef REMIT_H
#define REMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cJSON.h"

/* Errors. */

/* What went wrong, for an action that wants to handle it: the codes of the WIT and of tests, such as `not-found`. */
enum remit_code {
    REMIT_FAILED,      /* The action's own reason. */
    REMIT_DENIED,      /* The real system refused the host's own credential. */
    REMIT_NOT_FOUND,   /* What the call names does not exist. */
    REMIT_CONFLICT,    /* Someone else changed what the call assumed. */
    REMIT_INVALID,     /* The arguments make no sense. */
    REMIT_UNAVAILABLE, /* The real system did not answer: a change may or may not have happened. */
};

/* Why something failed. Its message goes to the operator and into the journal: put no secret in it. */
typedef struct remit_error {
    enum remit_code code;
    const char *message;
} remit_error;

/* An error with a message, formatted as by printf. */
remit_error *remit_fail(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Returns from the calling function with the error of `call`, if it has one. */
#define REMIT_TRY(call)                      \
    do {                                     \
        remit_error *remit_error_ = (call);  \
        if (remit_error_) return remit_error_; \
    } while (0)

/* Ends the run at once, like a failed assertion. The message is the last line of the run's log. */
_Noreturn void remit_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What an action defines. */

/* Performs the repair. `output` is an empty object to fill. */
remit_error *run(const cJSON *input, cJSON *output);

/* Checks what `run` was given and what it answered. */
remit_error *verify(const cJSON *input, const cJSON *output);

/* JSON to structs and back, one table per struct. */

enum remit_type { REMIT_TEXT, REMIT_OPTIONAL_TEXT, REMIT_U64 };

/* One member: a `const char *` (NULL when an optional one is missing or null), or a `uint64_t`. */
struct remit_field {
    const char *name;
    enum remit_type type;
    size_t offset;
};

/* A line of the table: REMIT_FIELD(struct input, path, REMIT_TEXT). */
#define REMIT_FIELD(of, member, type) { #member, type, offsetof(of, member) }
/* Its end. */
#define REMIT_END { NULL, REMIT_TEXT, 0 }

/* Reads an object with exactly these members into the struct `into`. `what` names it in errors. */
remit_error *remit_read(const char *what, const struct remit_field *fields, const cJSON *json, void *into);

/* Adds the members of the struct `from` to an object. */
remit_error *remit_write(const struct remit_field *fields, const void *from, cJSON *into);

/* Lines for the journal of the run, formatted as by printf. Write no secrets. */

void remit_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void remit_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void remit_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void remit_log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What an action may know about its own run. */

struct remit_facts {
    const char *id;     /* As in `remit show RUN`. */
    uint64_t started;   /* Milliseconds since the Unix epoch. */
    const char *reason; /* The reason given when the run was granted. */
};

/* The facts of this run; the same at every call. */
struct remit_facts remit_facts(void);

#include "domains.h"

#endif
