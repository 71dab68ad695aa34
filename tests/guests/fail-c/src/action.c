/* Rotates, then finds itself where it cannot be. */
#include "remit.h"

remit_error *run(const cJSON *input, cJSON *output) {
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(input, "path"));
    struct remit_secrets_rotated rotated;
    REMIT_TRY(remit_secrets_rotate(path, NULL, &rotated));
    (void)output;
    remit_panic("the sky over version %d fell", (int)rotated.current);
}

remit_error *verify(const cJSON *input, const cJSON *output) {
    (void)input, (void)output;
    return NULL;
}
