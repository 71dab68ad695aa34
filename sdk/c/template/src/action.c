/* What this action repairs. */
{% set inspect = "remit:secrets/inspect" in names %}
{% set rotate = "remit:secrets/rotate" in names %}
{% set disable = "remit:secrets/disable" in names %}
{% set destroy = "remit:secrets/destroy" in names %}
{% set reveal = "remit:secrets/reveal" in names %}
#include <inttypes.h>

#include "remit.h"

/* What it is given; `action.toml` has the schema. */
struct input {
    const char *path;
};

static const struct remit_field INPUT[] = {
    REMIT_FIELD(struct input, path, REMIT_TEXT),
    REMIT_END,
};

/* What it did; `verify` gets it. */
struct output {
    const char *path;
{% if rotate %}
    uint64_t current;
{% endif %}
};

static const struct remit_field OUTPUT[] = {
    REMIT_FIELD(struct output, path, REMIT_TEXT),
{% if rotate %}
    REMIT_FIELD(struct output, current, REMIT_U64),
{% endif %}
    REMIT_END,
};

remit_error *run(const cJSON *json, cJSON *output) {
    struct input in;
    REMIT_TRY(remit_read("input", INPUT, json, &in));
    struct output out = { .path = in.path };
{% if inspect %}
    struct remit_metadata before;
    REMIT_TRY(remit_inspect(in.path, &before));
    remit_info("%s is at version %" PRIu64, in.path, before.current);
{% else %}
    remit_info("looking at %s", in.path);
{% endif %}
{% if reveal and inspect %}
    const char *value;
    REMIT_TRY(remit_reveal(in.path, "value", before.current, &value));
{% endif %}
{% if rotate %}
    struct remit_rotated rotated;
    REMIT_TRY(remit_rotate(in.path, NULL, &rotated));
    out.current = rotated.current;
{% endif %}
{% if disable and inspect %}
    REMIT_TRY(remit_disable(in.path, before.current));
{% endif %}
{% if destroy and inspect %}
    REMIT_TRY(remit_destroy(in.path, before.current));
{% endif %}
    return remit_write(OUTPUT, &out, output);
}

remit_error *verify(const cJSON *input, const cJSON *output) {
    (void)input;
    struct output done;
    REMIT_TRY(remit_read("output", OUTPUT, output, &done));
{% if inspect and rotate %}
    struct remit_metadata now;
    REMIT_TRY(remit_inspect(done.path, &now));
    if (now.current != done.current) return remit_fail("%s was changed since", done.path);
{% else %}
    /* Look, without changing anything, whether the repair holds. */
    remit_info("%s is done", done.path);
{% endif %}
    return NULL;
}
