/* Preloaded: the machine's clock, as many seconds ahead (or, with a minus, behind) as the file named by REMIT_TEST_CLOCK says. The
 * monotonic clock stays as it is. Each sleep takes as many milliseconds longer as REMIT_TEST_SLEEP says: a machine that has much to do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
    char text[32] = {0};
    const char *name = getenv("REMIT_TEST_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

static void oversleep(void) {
    const char *longer = getenv("REMIT_TEST_SLEEP");
    if (longer) poll(NULL, 0, atoi(longer));
}

int nanosleep(const struct timespec *time, struct timespec *left) {
    static int (*real)(const struct timespec *, struct timespec *);
    if (!real) real = (int (*)(const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "nanosleep");
    oversleep();
    return real(time, left);
}

int clock_nanosleep(clockid_t which, int flags, const struct timespec *time, struct timespec *left) {
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "clock_nanosleep");
    oversleep();
    return real(which, flags, time, left);
}

int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, at);
    if (result == 0 && which == CLOCK_REALTIME) at->tv_sec += ahead();
    return result;
}
