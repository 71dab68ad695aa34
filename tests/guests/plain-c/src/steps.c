/* Does with WASI whatever a test asks, by the C library, and answers what it saw. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "steps.h"

extern char **environ;

#define MOST 65536

static const char *text(const cJSON *step, int index) {
    const cJSON *item = cJSON_GetArrayItem(step, index);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static double number(const cJSON *step, int index) {
    const cJSON *item = cJSON_GetArrayItem(step, index);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static cJSON *failed(void) {
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddStringToObject(answer, "error", strerror(errno));
    return answer;
}

static cJSON *ok_if(bool good) { return good ? cJSON_CreateTrue() : failed(); }

/* Flags of open in letters: r, w, a (append), c (create), x (exclusive), t (truncate), d (directory). */
static int flags(const char *letters) {
    bool reads = strchr(letters, 'r'), writes = strchr(letters, 'w');
    int how = reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY;
    if (strchr(letters, 'a')) how |= O_APPEND;
    if (strchr(letters, 'c')) how |= O_CREAT;
    if (strchr(letters, 'x')) how |= O_EXCL;
    if (strchr(letters, 't')) how |= O_TRUNC;
    if (strchr(letters, 'd')) how |= O_DIRECTORY;
    return how;
}

/* ["open", PATH, FLAGS, [ACTION, ARGUMENT]...]: what each action on the open file came to. */
static cJSON *file(const cJSON *step) {
    static char buffer[MOST + 1];
    int fd = open(text(step, 1), flags(text(step, 2)), 0644);
    if (fd < 0) return failed();
    cJSON *answers = cJSON_CreateArray();
    for (int i = 3; i < cJSON_GetArraySize(step); i++) {
        const cJSON *part = cJSON_GetArrayItem(step, i);
        const char *what = text(part, 0), *word = text(part, 1);
        off_t at = (off_t)number(part, 1);
        cJSON *answer = NULL;
        if (!strcmp(what, "read")) {
            size_t most = at > MOST ? MOST : (size_t)at;
            ssize_t got = read(fd, buffer, most);
            if (got >= 0) buffer[got] = 0;
            answer = got < 0 ? failed() : cJSON_CreateString(buffer);
        } else if (!strcmp(what, "write")) {
            ssize_t put = write(fd, word, strlen(word));
            answer = put < 0 ? failed() : cJSON_CreateNumber((double)put);
        } else if (!strcmp(what, "seek") || !strcmp(what, "seek-end")) {
            off_t now = lseek(fd, at, strcmp(what, "seek") ? SEEK_END : SEEK_SET);
            answer = now < 0 ? failed() : cJSON_CreateNumber((double)now);
        } else if (!strcmp(what, "size")) {
            struct stat found;
            answer = fstat(fd, &found) ? failed() : cJSON_CreateNumber((double)found.st_size);
        } else if (!strcmp(what, "truncate")) {
            answer = ok_if(ftruncate(fd, at) == 0);
        } else if (!strcmp(what, "sync")) {
            answer = ok_if(fsync(fd) == 0);
        } else if (!strcmp(what, "advise")) {
            answer = ok_if((errno = posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL)) == 0);
        } else if (!strcmp(what, "touch")) {
            answer = ok_if(futimens(fd, NULL) == 0);
        } else if (!strcmp(what, "unlink")) {
            answer = ok_if(unlink(word) == 0);
        }
        cJSON_AddItemToArray(answers, answer ? answer : cJSON_CreateNull());
    }
    if (close(fd) != 0) cJSON_AddItemToArray(answers, failed());
    return answers;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names in a directory with their types, sorted. */
static cJSON *list(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return failed();
    char *names[256];
    size_t count = 0;
    struct dirent *entry;
    while (count < 256 && (errno = 0, entry = readdir(directory))) {
        const char *kind = entry->d_type == DT_REG ? "file" : entry->d_type == DT_DIR ? "directory" : "other";
        if (asprintf(&names[count], "%s %s", entry->d_name, kind) > 0) count++;
    }
    if (errno) return failed();
    closedir(directory);
    qsort(names, count, sizeof names[0], by_name);
    cJSON *answer = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) cJSON_AddItemToArray(answer, cJSON_CreateString(names[i]));
    return answer;
}

static cJSON *status(const char *path, bool follow) {
    struct stat found;
    if (follow ? stat(path, &found) : lstat(path, &found)) return failed();
    cJSON *answer = cJSON_CreateObject();
    const char *kind = S_ISREG(found.st_mode) ? "file" : S_ISDIR(found.st_mode) ? "directory" : "other";
    cJSON_AddStringToObject(answer, "kind", kind);
    if (S_ISREG(found.st_mode)) cJSON_AddNumberToObject(answer, "size", (double)found.st_size);
    return answer;
}

static double seconds(clockid_t clock) {
    struct timespec now;
    return clock_gettime(clock, &now) ? -1 : (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static cJSON *step_of(const cJSON *step) {
    const char *what = text(step, 0), *path = text(step, 1), *other = text(step, 2);
    if (!strcmp(what, "open")) return file(step);
    if (!strcmp(what, "list")) return list(path);
    if (!strcmp(what, "stat")) return status(path, true);
    if (!strcmp(what, "lstat")) return status(path, false);
    if (!strcmp(what, "dated")) {
        struct stat found;
        return stat(path, &found) ? failed() : cJSON_CreateBool(found.st_mtim.tv_sec != 0);
    }
    if (!strcmp(what, "mkdir")) return ok_if(mkdir(path, 0755) == 0);
    if (!strcmp(what, "rmdir")) return ok_if(rmdir(path) == 0);
    if (!strcmp(what, "unlink")) return ok_if(unlink(path) == 0);
    if (!strcmp(what, "rename")) return ok_if(rename(path, other) == 0);
    if (!strcmp(what, "link")) return ok_if(link(path, other) == 0);
    if (!strcmp(what, "symlink")) return ok_if(symlink(path, other) == 0);
    if (!strcmp(what, "readlink")) {
        char target[256] = {0};
        return readlink(path, target, sizeof target - 1) < 0 ? failed() : cJSON_CreateString(target);
    }
    if (!strcmp(what, "touch")) return ok_if(utimensat(AT_FDCWD, path, NULL, 0) == 0);
    if (!strcmp(what, "variables")) {
        cJSON *answer = cJSON_CreateArray();
        for (char **at = environ; at && *at; at++) cJSON_AddItemToArray(answer, cJSON_CreateString(*at));
        return answer;
    }
    if (!strcmp(what, "input")) return cJSON_CreateNumber(getchar());
    if (!strcmp(what, "terminals")) return cJSON_CreateNumber(isatty(0) + isatty(1) + isatty(2));
    if (!strcmp(what, "random")) {
        static unsigned char bytes[256];
        size_t size = (size_t)number(step, 1), others = 0;
        if (getentropy(bytes, size)) return failed();
        for (size_t i = 0; i < size; i++) others += bytes[i] != 0;
        /* Whether all of it was filled; a byte is zero by chance now and then. */
        return cJSON_CreateBool(others * 10 >= size * 9);
    }
    if (!strcmp(what, "clocks")) {
        struct timespec fine, nap = {0, 20000000};
        double wall = seconds(CLOCK_REALTIME), before = seconds(CLOCK_MONOTONIC);
        bool slept = nanosleep(&nap, NULL) == 0;
        double passed = seconds(CLOCK_MONOTONIC) - before;
        cJSON *answer = cJSON_CreateObject();
        cJSON_AddBoolToObject(answer, "this-century", wall > 1.6e9 && wall < 4.1e9);
        cJSON_AddBoolToObject(answer, "slept", slept && passed >= 0.02 && passed < 10);
        clock_getres(CLOCK_MONOTONIC, &fine);
        cJSON_AddBoolToObject(answer, "resolution", fine.tv_sec == 0 && fine.tv_nsec > 0 && fine.tv_nsec <= 1000000);
        return answer;
    }
    return NULL;
}

void steps(const cJSON *asked, cJSON *output) {
    cJSON *answers = cJSON_AddArrayToObject(output, "steps");
    const cJSON *step;
    cJSON_ArrayForEach(step, asked) {
        cJSON *answer = step_of(step);
        cJSON_AddItemToArray(answers, answer ? answer : cJSON_CreateString("no such step"));
    }
}
