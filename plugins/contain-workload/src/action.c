/* Contains a workload: evidence first, because what is cut off changes; then it can talk with nobody. */
#include <inttypes.h>
#include <string.h>

#include "remit.h"

/* What to contain. */
struct input {
    const char *workload; /* Such as `main/netns/shop`. */
};

static const struct remit_field INPUT[] = {
    REMIT_FIELD(struct input, workload, REMIT_TEXT),
    REMIT_END,
};

/* What was done. */
struct output {
    const char *workload;
    const char *evidence; /* The name of the archive. */
    const char *sha256;   /* Of the archive. */
    uint64_t parts;       /* How many parts it has. */
};

static const struct remit_field OUTPUT[] = {
    REMIT_FIELD(struct output, workload, REMIT_TEXT),
    REMIT_FIELD(struct output, evidence, REMIT_TEXT),
    REMIT_FIELD(struct output, sha256, REMIT_TEXT),
    REMIT_FIELD(struct output, parts, REMIT_U64),
    REMIT_END,
};

remit_error *run(const cJSON *json, cJSON *output) {
    struct input in;
    REMIT_TRY(remit_read("input", INPUT, json, &in));

    struct remit_evidence_archive kept;
    REMIT_TRY(remit_evidence_capture(in.workload, &kept));
    remit_info("evidence of %s is kept in %s: %" PRIu32 " parts", in.workload, kept.name, kept.parts);
    for (size_t i = 0; i < kept.cut_off_count; i++) remit_warn("%s is not whole", kept.cut_off[i]);
    for (size_t i = 0; i < kept.missing_count; i++) remit_warn("not in it: %s", kept.missing[i]);

    REMIT_TRY(remit_network_cut(in.workload));
    remit_info("%s is cut off", in.workload);

    struct output out = { in.workload, kept.name, kept.sha256, kept.parts };
    return remit_write(OUTPUT, &out, output);
}

remit_error *verify(const cJSON *input, const cJSON *output) {
    struct input in;
    (void)output;
    REMIT_TRY(remit_read("input", INPUT, input, &in));

    struct remit_network_workload now;
    REMIT_TRY(remit_network_inspect_get(in.workload, &now));
    if (!now.cut || !now.by_run || strcmp(now.by_run, remit_facts().id) != 0) {
        return remit_fail("%s is not cut off by this run", in.workload);
    }
    /* The host itself looks whether the evidence is what was kept. */
    return NULL;
}
