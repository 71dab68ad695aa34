/* Rotates one secret: the host writes a new version with a value that nobody else has seen. */
#include <inttypes.h>

#include "remit.h"

/* Which secret to rotate. */
struct input {
    const char *path;  /* Such as `app/db/password`. */
    const char *field; /* Which of its fields gets a new value; needed when it has more than one. */
};

static const struct remit_field INPUT[] = {
    REMIT_FIELD(struct input, path, REMIT_TEXT),
    REMIT_FIELD(struct input, field, REMIT_OPTIONAL_TEXT),
    REMIT_END,
};

/* What was done. */
struct output {
    const char *path;
    uint64_t previous; /* The version that was current before. */
    uint64_t current;  /* The version with the new value. */
};

static const struct remit_field OUTPUT[] = {
    REMIT_FIELD(struct output, path, REMIT_TEXT),
    REMIT_FIELD(struct output, previous, REMIT_U64),
    REMIT_FIELD(struct output, current, REMIT_U64),
    REMIT_END,
};

remit_error *run(const cJSON *json, cJSON *output) {
    struct input in;
    REMIT_TRY(remit_read("input", INPUT, json, &in));

    struct remit_secrets_secret_metadata before;
    REMIT_TRY(remit_secrets_inspect(in.path, &before));
    remit_info("%s is at version %" PRIu64, in.path, before.current);

    struct remit_secrets_rotated rotated;
    REMIT_TRY(remit_secrets_rotate(in.path, in.field, &rotated));
    remit_info("%s is now at version %" PRIu64, in.path, rotated.current);

    struct output out = { in.path, rotated.previous, rotated.current };
    return remit_write(OUTPUT, &out, output);
}

remit_error *verify(const cJSON *input, const cJSON *output) {
    struct input in;
    struct output done;
    REMIT_TRY(remit_read("input", INPUT, input, &in));
    REMIT_TRY(remit_read("output", OUTPUT, output, &done));

    struct remit_secrets_secret_metadata now;
    REMIT_TRY(remit_secrets_inspect(done.path, &now));
    if (now.current != done.current) {
        return remit_fail(
            "%s is at version %" PRIu64 ", not at %" PRIu64, done.path, now.current, done.current);
    }
    for (size_t i = 0; i < now.versions_count; i++) {
        if (now.versions[i].number != done.current) continue;
        if (now.versions[i].state == REMIT_SECRETS_VERSION_STATE_ENABLED) return NULL;
        return remit_fail("version %" PRIu64 " of %s cannot be read", done.current, done.path);
    }
    return remit_fail(
        "the backend does not list version %" PRIu64 " of %s", done.current, done.path);
}
