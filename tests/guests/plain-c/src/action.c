/* Looks for what a C program finds around it; or does the `steps` of its input. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "steps.h"

extern char **environ;

remit_error *run(const cJSON *input, cJSON *output) {
    const cJSON *asked = cJSON_GetObjectItem(input, "steps");
    if (asked) {
        steps(asked, output);
        return NULL;
    }
    printf("standard output\n");
    fprintf(stderr, "standard error\n");

    cJSON_AddNumberToObject(output, "time", (double)time(NULL));
    size_t variables = 0;
    while (environ && environ[variables]) variables++;
    cJSON_AddNumberToObject(output, "variables", (double)variables);
    cJSON_AddStringToObject(output, "user", getenv("USER") ? getenv("USER") : "unset");

    errno = 0;
    cJSON_AddBoolToObject(output, "read", fopen("/etc/passwd", "r") != NULL);
    cJSON_AddStringToObject(output, "why-not-read", strerror(errno));
    errno = 0;
    cJSON_AddBoolToObject(output, "write", fopen("note.txt", "w") != NULL);
    cJSON_AddStringToObject(output, "why-not-write", strerror(errno));
    errno = 0;
    cJSON_AddBoolToObject(output, "list", opendir("/") != NULL);
    cJSON_AddStringToObject(output, "why-not-list", strerror(errno));
    cJSON_AddBoolToObject(output, "input-ends", getchar() == EOF);

    unsigned char bytes[8];
    char text[17];
    if (getentropy(bytes, sizeof bytes) != 0) return remit_fail("no randomness: %s", strerror(errno));
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    cJSON_AddStringToObject(output, "random", text);
    return NULL;
}

remit_error *verify(const cJSON *input, const cJSON *output) {
    (void)input, (void)output;
    return NULL;
}
