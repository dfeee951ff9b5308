/* Stands between the edge and the disk of its store (LD_PRELOAD), and does to writes and syncs of the database what the
 * control file says. The other side is disk.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* In the order of disk.rs. */
struct control {
    volatile int32_t sync_errno;    /* syncs fail so */
    volatile int32_t sync_delay_ms; /* syncs take so much longer */
    volatile int32_t log_unsynced;  /* syncs of the write-ahead log say that they are done, and do nothing */
    volatile int32_t write_errno;   /* writes fail so */
    volatile int32_t hits;          /* counts what was not done as asked */
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WXEDGE_TEST_DISK");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
        fprintf(stderr, "WXEDGE_TEST_DISK is no control file\n");
        abort();
    }
    close(file);
    control = map;
}

/* Whether a file is one of the database's. */
static int is_of_database(int file, const char *ending) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, ending) != NULL;
}

static int hit(void) {
    __atomic_add_fetch(&control->hits, 1, __ATOMIC_RELAXED);
    return 1;
}

static int sync_file(const char *name, int file) {
    int32_t delay = control->sync_delay_ms;
    if (delay > 0 && is_of_database(file, "wxedge.db") && hit()) {
        struct timespec time = {delay / 1000, delay % 1000 * 1000000L};
        nanosleep(&time, NULL);
    }
    if (control->sync_errno && is_of_database(file, "wxedge.db") && hit()) {
        errno = control->sync_errno;
        return -1;
    }
    if (control->log_unsynced && is_of_database(file, "wxedge.db-wal") && hit())
        return 0;
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    return real(file);
}

int fsync(int file) { return sync_file("fsync", file); }
int fdatasync(int file) { return sync_file("fdatasync", file); }

static int is_refused(int file) {
    if (!control || !control->write_errno || !is_of_database(file, "wxedge.db"))
        return 0;
    hit();
    errno = control->write_errno;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "write");
    return is_refused(file) ? -1 : real(file, bytes, length);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "pwrite64");
    return is_refused(file) ? -1 : real(file, bytes, length, at);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    return pwrite64(file, bytes, length, at);
}
