/* A disk that forgets: preloaded into a process, it keeps beside the files under LOSING_ROOT what a disk would have of them.

   What is written is lost unless an fsync of its file succeeds afterwards. The fsyncs LOSING_FIRST to LOSING_LAST, those of a
   file named LOSING_ONLY if that is set, fail with EIO, and what they should have made durable is never made so by a later one,
   as on Linux: the system has the pages for clean then, though it still reads them; each descriptor that was open then is told
   once. LOSING_SHADOW holds the files as they are after a power cut. Names are never lost.

   A sync that nobody waits for is done as late as it may be, when somebody does wait for it; with LOSING_EARLY at once, and it
   is said as late. */

#define _GNU_SOURCE
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct range {
    struct range *next;
    dev_t dev;
    ino_t ino;
    off_t from;
    size_t length;
};

struct failing {
    struct failing *next;
    dev_t dev;
    ino_t ino;
    long failures;
};

static struct range *dirty;
static struct failing *failing;
static long told[1 << 16]; /* of how many failures of its file a descriptor knows */
static long syncs;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Write the path of the shadow of a path that is under the root into `out`; 0 if it is not. */
static int shadow_of(const char *path, char *out) {
    const char *root = getenv("LOSING_ROOT"), *shadow = getenv("LOSING_SHADOW");
    if (!root || !shadow || strncmp(path, root, strlen(root)) || path[strlen(root)] != '/') return 0;
    return snprintf(out, PATH_MAX, "%s%s", shadow, path + strlen(root)) < PATH_MAX;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int shadow_of_fd(int fd, char *out) {
    char path[PATH_MAX];
    return path_of(fd, path) && shadow_of(path, out);
}

static void touched(int fd, off_t from, ssize_t length) {
    char shadow[PATH_MAX];
    struct stat status;
    if (length <= 0 || !shadow_of_fd(fd, shadow) || fstat(fd, &status)) return;
    struct range *range = malloc(sizeof *range);
    *range = (struct range){dirty, status.st_dev, status.st_ino, from, (size_t)length};
    dirty = range;
}

static void settle(int fd, const char *shadow, int kept) {
    struct stat status;
    char parents[PATH_MAX], *bytes;
    if (fstat(fd, &status)) return;
    strcpy(parents, shadow);
    for (char *slash = strchr(parents + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(parents, 0755);
        *slash = '/';
    }
    if (S_ISDIR(status.st_mode)) {
        if (kept) mkdir(shadow, 0755);
        return;
    }
    char path[PATH_MAX];
    if (!path_of(fd, path)) return;
    /* A file of SQLite's is read through its own descriptor: closing another would drop the locks it holds. */
    int own = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
    int there = REAL(open)(shadow, O_RDWR | O_CREAT | O_CLOEXEC, 0644), here = own ? fd : REAL(open)(path, O_RDONLY | O_CLOEXEC);
    for (struct range **place = &dirty; *place;) {
        struct range *range = *place;
        if (range->dev != status.st_dev || range->ino != status.st_ino) {
            place = &range->next;
            continue;
        }
        if (kept && (bytes = malloc(range->length))) {
            ssize_t found = pread(here, bytes, range->length, range->from);
            if (found > 0) REAL(pwrite64)(there, bytes, (size_t)found, range->from);
            free(bytes);
        }
        *place = range->next;
        free(range);
    }
    close(there);
    if (!own) close(here);
}

/* Return how often a sync of a file failed, after one more did if `more` is set. */
static long failures(int fd, int more) {
    struct stat status;
    struct failing *found = failing;
    if (fstat(fd, &status)) return 0;
    while (found && (found->dev != status.st_dev || found->ino != status.st_ino)) found = found->next;
    if (!found && more) {
        found = malloc(sizeof *found);
        *found = (struct failing){failing, status.st_dev, status.st_ino, 0};
        failing = found;
    }
    if (found) found->failures += more;
    return found ? found->failures : 0;
}

static int sync_or_lose(int fd) {
    char shadow[PATH_MAX];
    if (!shadow_of_fd(fd, shadow)) return 0;
    const char *first = getenv("LOSING_FIRST"), *last = getenv("LOSING_LAST"), *only = getenv("LOSING_ONLY");
    pthread_mutex_lock(&guard);
    syncs++;
    int lost = first && last && syncs >= atol(first) && syncs <= atol(last) && (!only || !strcmp(strrchr(shadow, '/') + 1, only));
    settle(fd, shadow, !lost);
    long known = told[fd];
    told[fd] = failures(fd, lost);
    lost = told[fd] > known;
    pthread_mutex_unlock(&guard);
    if (lost) errno = EIO;
    return lost ? -1 : 0;
}

static int opened(int fd) {
    int error = errno;
    if (fd >= 0) {
        pthread_mutex_lock(&guard);
        told[fd] = failures(fd, 0);
        pthread_mutex_unlock(&guard);
    }
    errno = error;
    return fd;
}

#define OPENING(call)                                \
    do {                                             \
        mode_t mode = 0;                             \
        if (flags & (O_CREAT | O_TMPFILE)) {         \
            va_list more;                            \
            va_start(more, flags);                   \
            mode = (mode_t)va_arg(more, int);        \
            va_end(more);                            \
        }                                            \
        return opened(call);                         \
    } while (0)

int open(const char *path, int flags, ...) { OPENING(REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENING(REAL(open64)(path, flags, mode)); }
int openat(int at, const char *path, int flags, ...) { OPENING(REAL(openat)(at, path, flags, mode)); }
int openat64(int at, const char *path, int flags, ...) { OPENING(REAL(openat64)(at, path, flags, mode)); }

int fsync(int fd) { return sync_or_lose(fd); }
int fdatasync(int fd) { return sync_or_lose(fd); }

static int outcome_of(int fd) { return sync_or_lose(fd) ? errno : 0; }

int aio_fsync(int operation, struct aiocb *request) {
    (void)operation;
    request->__return_value = getenv("LOSING_EARLY") ? outcome_of(request->aio_fildes) : -1;
    request->__error_code = EINPROGRESS;
    return 0;
}

int aio_error(const struct aiocb *request) { return request->__error_code; }

int aio_suspend(const struct aiocb *const requests[], int count, const struct timespec *most) {
    struct aiocb *first = (struct aiocb *)requests[0];
    (void)count, (void)most;
    first->__error_code = first->__return_value < 0 ? outcome_of(first->aio_fildes) : (int)first->__return_value;
    return 0;
}

ssize_t aio_return(struct aiocb *request) { return request->__error_code ? -1 : 0; }

#define WRITING(call, from)                  \
    do {                                     \
        pthread_mutex_lock(&guard);          \
        off_t at = (from);                   \
        ssize_t length = (call);             \
        int error = errno;                   \
        touched(fd, at, length);             \
        pthread_mutex_unlock(&guard);        \
        errno = error;                       \
        return length;                       \
    } while (0)

ssize_t write(int fd, const void *data, size_t count) { WRITING(REAL(write)(fd, data, count), lseek(fd, 0, SEEK_CUR)); }
ssize_t pwrite(int fd, const void *data, size_t count, off_t from) { WRITING(REAL(pwrite)(fd, data, count, from), from); }
ssize_t pwrite64(int fd, const void *data, size_t count, off64_t from) { WRITING(REAL(pwrite64)(fd, data, count, from), from); }

int ftruncate(int fd, off_t length) {
    char shadow[PATH_MAX];
    if (shadow_of_fd(fd, shadow)) (void)!truncate(shadow, length);
    return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    char shadow[PATH_MAX];
    if (shadow_of_fd(fd, shadow)) (void)!truncate(shadow, length);
    return REAL(ftruncate64)(fd, length);
}

int unlink(const char *path) {
    char shadow[PATH_MAX];
    if (shadow_of(path, shadow)) REAL(unlink)(shadow);
    return REAL(unlink)(path);
}

int rename(const char *before, const char *after) {
    char one[PATH_MAX], other[PATH_MAX], parents[PATH_MAX];
    if (shadow_of(before, one) && shadow_of(after, other)) {
        strcpy(parents, other);
        *strrchr(parents, '/') = 0;
        mkdir(parents, 0755);
        REAL(rename)(one, other);
    }
    return REAL(rename)(before, after);
}
