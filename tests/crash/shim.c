/* Preloaded into `remit` by tests/crash.rs and tests/jobs.rs: numbers every call through which something becomes durable or
 * leaves the process, and at a chosen one ends the process or lets the call fail.
 *
 * A point is a call on a file below $REMIT_HOME (but for SQLite's -shm files: shared memory, worthless
 * after a crash) or on an IP socket. Points are numbered from 1 in the order in which they begin.
 *
 *   CRASH_LOG=FILE   one line for each point as it begins: its number, class and file.
 *   CRASH_AT=N       where it happens. Without it the shim only counts.
 *   CRASH_ON=TEXT    in place of a number: where a file of the home gets this text. `before` kills before that
 *                    write, `after` once it is durable.
 *   CRASH_INTENT=TEXT  the same where the journal gets the intent of a host call that goes on with this text after
 *                    its number: `after` kills once it is durable, `before` before the outcome of that call is written.
 *   CRASH_HOW=...    what happens:
 *     before         SIGKILL before the call.
 *     after          SIGKILL once the call is done.
 *     power          a power cut before the call: every write that no fsync made durable is taken back
 *                    first, then SIGKILL. (A kill alone loses nothing that was written: the kernel has it.)
 *     eio            this one call fails with EIO, and does nothing.
 *     dead           EIO from this call on, for every write and fsync: the disk is gone.
 *     full           ENOSPC from this call on, for every write that makes a file longer: the disk is full.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { COUNT, BEFORE, AFTER, POWER, EIO_ONCE, DEAD, FULL };

static const char *home;
static size_t home_length;
static int log_fd = -1;
static long crash_at;
static const char *crash_on, *crash_intent;
/* How the outcome of that call begins, once its number is known. */
static char outcome[64];
/* The text is written, and not durable yet. */
static volatile int written;
static enum how crash_how;
static long points;
/* Held while a point is numbered, and by each call on a file until it is done: so the writes that a power
 * cut takes back are exactly those before it. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* A write that is not durable yet: what was there before it. Newest first. */
struct undone {
    struct undone *older;
    dev_t device;
    ino_t inode;
    off_t size;   /* of the whole file */
    off_t offset; /* of `bytes` */
    ssize_t length;
    char *bytes;
    char path[PATH_MAX];
};
static struct undone *volatile_writes;

__attribute__((constructor)) static void begin(void) {
    static const char *const names[] = {"", "before", "after", "power", "eio", "dead", "full"};
    const char *at = getenv("CRASH_AT"), *how = getenv("CRASH_HOW"), *log = getenv("CRASH_LOG");
    home = getenv("REMIT_HOME");
    home_length = home ? strlen(home) : 0;
    if (log)
        log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    crash_at = at ? atol(at) : 0;
    crash_on = getenv("CRASH_ON");
    crash_intent = getenv("CRASH_INTENT");
    for (int i = BEFORE; how && i <= FULL; i++)
        if (!strcmp(how, names[i]))
            crash_how = i;
    if (home_length == 0 || (log && log_fd < 0) || (how && crash_how == COUNT)) {
        static const char say[] = "shim: REMIT_HOME, CRASH_LOG or CRASH_HOW cannot be used\n";
        syscall(SYS_write, 2, say, sizeof say - 1);
        _exit(99);
    }
}

/* The next definition of the function we stand in front of. */
#define REAL(name)                                                                                          \
    static __typeof__(name) *real;                                                                          \
    if (!real)                                                                                              \
    real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int below_home(const char *path) {
    size_t length = strlen(path);
    return length > home_length && !strncmp(path, home, home_length) && path[home_length] == '/' &&
           !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

/* Whether a descriptor is a file (or folder) of the home; then `path` is its name. */
static int file_of_home(int fd, char path[PATH_MAX]) {
    char link[40];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    errno = kept;
    if (length < 0)
        return 0;
    path[length] = 0;
    return below_home(path) || !strcmp(path, home);
}

static int ip_socket(int fd) {
    int domain, kept = errno;
    socklen_t size = sizeof domain;
    int known = !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    errno = kept;
    return known && (domain == AF_INET || domain == AF_INET6);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Numbers a point and writes it down. Needs the turn. */
static long number(const char *class, const char *path) {
    char line[PATH_MAX + 64];
    long mine = ++points;
    const char *name = strrchr(path, '/');
    int length = snprintf(line, sizeof line, "%ld %s %s\n", mine, class, name ? name + 1 : path);
    if (log_fd >= 0)
        syscall(SYS_write, log_fd, line, (size_t)length);
    if (mine == crash_at && crash_how == BEFORE)
        die();
    return mine;
}

static void power_cut(void) {
    for (struct undone *write = volatile_writes; write; write = write->older) {
        int fd = open(write->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue; /* its name is gone: so is the file, or will be */
        syscall(SYS_pwrite64, fd, write->bytes, (size_t)write->length, write->offset);
        syscall(SYS_ftruncate, fd, write->size);
        close(fd);
    }
    die();
}

/* Keeps what a write or a truncation is about to replace: `length` bytes, or all that follow. */
static void remember(int fd, const char *path, off_t offset, size_t length) {
    struct stat now;
    struct undone *write = calloc(1, sizeof *write);
    if (crash_how != POWER || !write || fstat(fd, &now))
        return;
    off_t end = offset + (off_t)length;
    if (end > now.st_size || end < offset)
        end = now.st_size;
    write->older = volatile_writes;
    write->device = now.st_dev;
    write->inode = now.st_ino;
    write->size = now.st_size;
    write->offset = offset;
    snprintf(write->path, sizeof write->path, "%s", path);
    if (end > offset && (write->bytes = malloc((size_t)(end - offset)))) {
        /* The caller's descriptor may be open for writing only. */
        int reader = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = syscall(SYS_pread64, reader, write->bytes, (size_t)(end - offset), offset);
        write->length = got < 0 ? 0 : got;
        close(reader);
    }
    volatile_writes = write;
}

/* A file became durable. */
static void forget(int fd) {
    struct stat now;
    struct undone **at = &volatile_writes;
    if (fstat(fd, &now))
        return;
    while (*at) {
        if ((*at)->device == now.st_dev && (*at)->inode == now.st_ino)
            *at = (*at)->older;
        else
            at = &(*at)->older;
    }
}

/* A file became durable, and perhaps the text with it. */
static void durable(int fd) {
    forget(fd);
    if (written)
        die();
}

static int has(const char *bytes, size_t length, const char *text) {
    return memmem(bytes, length, text, strlen(text)) != NULL;
}

/* The number of the call whose intent is in the bytes, or 0. */
static long intent_in(const char *bytes, size_t length) {
    static const char begins[] = "\"intent\":{\"call\":";
    const char *end = bytes + length, *at = bytes;
    while ((at = memmem(at, (size_t)(end - at), begins, sizeof begins - 1))) {
        long call = 0;
        for (at += sizeof begins - 1; at < end && *at >= '0' && *at <= '9'; at++)
            call = 10 * call + (*at - '0');
        if ((size_t)(end - at) >= strlen(crash_intent) && !memcmp(at, crash_intent, strlen(crash_intent)))
            return call;
    }
    return 0;
}

/* Looks at what is about to be written, if a text decides. */
static void look(int fd, const void *bytes, size_t length) {
    char path[PATH_MAX];
    if ((!crash_on && !crash_intent) || !file_of_home(fd, path))
        return;
    if (crash_on && has(bytes, length, crash_on)) {
        if (crash_how == BEFORE)
            die();
        written = 1;
    }
    if (!crash_intent)
        return;
    if (outcome[0]) {
        if (has(bytes, length, outcome))
            die();
        return;
    }
    long call = intent_in(bytes, length);
    if (call && crash_how == AFTER)
        written = 1;
    else if (call)
        snprintf(outcome, sizeof outcome, "\"outcome\":{\"call\":%ld,", call);
}

/* The error a write or fsync of a file gets, or 0. */
static int error_for(int fd, long mine, off_t end) {
    struct stat now;
    if (crash_at == 0 || mine < crash_at)
        return 0;
    switch (crash_how) {
    case EIO_ONCE: return mine == crash_at ? EIO : 0;
    case DEAD: return EIO;
    case FULL: return !fstat(fd, &now) && end > now.st_size ? ENOSPC : 0;
    default: return 0;
    }
}

/* A call on a file: `call` may use errno; `end` is where a write ends, -1 for what makes nothing longer. */
#define ON_FILE(class, call, end, before, done)                                                             \
    do {                                                                                                    \
        char path[PATH_MAX];                                                                                \
        if (!file_of_home(fd, path))                                                                        \
            return call;                                                                                    \
        pthread_mutex_lock(&turn);                                                                          \
        long mine = number(class, path);                                                                    \
        if (mine == crash_at && crash_how == POWER)                                                         \
            power_cut();                                                                                    \
        int error = error_for(fd, mine, end);                                                               \
        if (error) {                                                                                        \
            pthread_mutex_unlock(&turn);                                                                    \
            errno = error;                                                                                  \
            return -1;                                                                                      \
        }                                                                                                   \
        before;                                                                                             \
        __auto_type answer = call;                                                                          \
        int kept = errno;                                                                                   \
        if (answer >= 0) {                                                                                  \
            done;                                                                                           \
        }                                                                                                   \
        if (mine == crash_at && crash_how == AFTER)                                                         \
            die();                                                                                          \
        pthread_mutex_unlock(&turn);                                                                        \
        errno = kept;                                                                                       \
        return answer;                                                                                      \
    } while (0)

#define NOTHING ((void)0)

int fsync(int fd) {
    REAL(fsync);
    ON_FILE("fsync", real(fd), -1, NOTHING, durable(fd));
}

int fdatasync(int fd) {
    REAL(fdatasync);
    ON_FILE("fsync", real(fd), -1, NOTHING, durable(fd));
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    REAL(pwrite);
    look(fd, bytes, length);
    ON_FILE("write", real(fd, bytes, length, offset), offset + (off_t)length, remember(fd, path, offset, length),
            NOTHING);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    REAL(pwrite64);
    look(fd, bytes, length);
    ON_FILE("write", real(fd, bytes, length, offset), offset + (off_t)length, remember(fd, path, offset, length),
            NOTHING);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(write);
    look(fd, bytes, length);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ON_FILE("write", real(fd, bytes, length), offset + (off_t)length, remember(fd, path, offset, length), NOTHING);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    ON_FILE("truncate", real(fd, size), size, remember(fd, path, size, SSIZE_MAX), NOTHING);
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    ON_FILE("truncate", real(fd, size), size, remember(fd, path, size, SSIZE_MAX), NOTHING);
}

/* A call that changes what a name stands for. Durable at once here, as a kill sees it; SQLite and Remit
 * sync the folder where a power cut would matter. */
#define ON_NAME(class, name, call)                                                                          \
    do {                                                                                                    \
        if (!below_home(name))                                                                              \
            return call;                                                                                    \
        pthread_mutex_lock(&turn);                                                                          \
        long mine = number(class, name);                                                                    \
        if (mine == crash_at && crash_how == POWER)                                                         \
            power_cut();                                                                                    \
        if (crash_at && ((crash_how == DEAD && mine >= crash_at) ||                                         \
                         (crash_how == EIO_ONCE && mine == crash_at))) {                                    \
            pthread_mutex_unlock(&turn);                                                                    \
            errno = EIO;                                                                                    \
            return -1;                                                                                      \
        }                                                                                                   \
        int answer = call;                                                                                  \
        if (mine == crash_at && crash_how == AFTER)                                                         \
            die();                                                                                          \
        pthread_mutex_unlock(&turn);                                                                        \
        return answer;                                                                                      \
    } while (0)

int unlink(const char *path) {
    REAL(unlink);
    ON_NAME("unlink", path, real(path));
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    ON_NAME("unlink", path, real(folder, path, flags));
}

int rename(const char *from, const char *to) {
    REAL(rename);
    ON_NAME("rename", to, real(from, to));
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(renameat);
    ON_NAME("rename", to, real(from_folder, from, to_folder, to));
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    REAL(renameat2);
    ON_NAME("rename", to, real(from_folder, from, to_folder, to, flags));
}

int link(const char *from, const char *to) {
    REAL(link);
    ON_NAME("link", to, real(from, to));
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(linkat);
    ON_NAME("link", to, real(from_folder, from, to_folder, to, flags));
}

/* A call on a socket: sending is an effect about to happen, receiving one that has happened. Not under the
 * turn while it waits: another thread may write meanwhile. */
#define ON_SOCKET(class, call)                                                                              \
    do {                                                                                                    \
        if (!ip_socket(fd))                                                                                 \
            return call;                                                                                    \
        pthread_mutex_lock(&turn);                                                                          \
        long mine = number(class, "socket");                                                                \
        if (mine == crash_at && crash_how == POWER)                                                         \
            power_cut();                                                                                    \
        pthread_mutex_unlock(&turn);                                                                        \
        ssize_t answer = call;                                                                              \
        if (mine == crash_at && crash_how == AFTER)                                                         \
            die();                                                                                          \
        return answer;                                                                                      \
    } while (0)

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    REAL(send);
    ON_SOCKET("send", real(fd, bytes, length, flags));
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
    REAL(sendto);
    ON_SOCKET("send", real(fd, bytes, length, flags, to, size));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    ON_SOCKET("send", real(fd, message, flags));
}

ssize_t recv(int fd, void *bytes, size_t length, int flags) {
    REAL(recv);
    ON_SOCKET("receive", real(fd, bytes, length, flags));
}

ssize_t recvfrom(int fd, void *restrict bytes, size_t length, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict size) {
    REAL(recvfrom);
    ON_SOCKET("receive", real(fd, bytes, length, flags, from, size));
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    REAL(recvmsg);
    ON_SOCKET("receive", real(fd, message, flags));
}
