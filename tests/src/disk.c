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
    volatile int32_t losing;        /* what is written does not get to the disk: 1 the database itself, 2 its log */
    volatile int32_t hits;          /* counts what was not done as asked */
};

static struct control *control;

/* A page of memory that did not get to the disk, as the disk has it. */
struct page {
    int64_t key; /* 1 + 2 * its number in the file, and 1 more for the log; 0 of none */
    char bytes[4096];
};
enum { PAGES = 8192 };

static struct page *pages;

/* Whether something of the database and of its log was lost that no sync has failed for yet. */
static volatile int lost[2];

static void *map(const char *variable, size_t length) {
    const char *path = getenv(variable);
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
        fprintf(stderr, "%s is no file to map\n", variable);
        abort();
    }
    close(file);
    return map;
}

__attribute__((constructor)) static void begin(void) {
    control = map("WXEDGE_TEST_DISK", sizeof *control);
    pages = map("WXEDGE_TEST_DISK_PAGES", PAGES * sizeof *pages);
}

/* Whether a file is the database or one of its own, which is what its path has to hold: "wxedge.db", "wxedge.db-wal". */
static int is_of_database(int file, const char *what) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, what) != NULL;
}

/* 0 for the database itself, 1 for its log, -1 for everything else. */
static int which(int file) {
    if (is_of_database(file, "wxedge.db-wal"))
        return 1;
    return is_of_database(file, "wxedge.db") && !is_of_database(file, "wxedge.db-") ? 0 : -1;
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
    int at = lost[0] || lost[1] ? which(file) : -1;
    if (at >= 0 && lost[at] && hit()) {
        lost[at] = 0;
        errno = EIO;
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

/* Keeps what the disk has of the pages that are written and lost; forgets it of those that are written and not. */
static void keep(int file, size_t length, off64_t at) {
    int log = which(file);
    if (log < 0)
        return;
    int losing = control->losing & (1 << log);
    for (int64_t number = at / 4096; number * 4096 < at + (off64_t)length; number++) {
        struct page *page = pages, *none = NULL;
        for (; page < pages + PAGES && page->key != 1 + 2 * number + log; page++)
            if (!page->key && !none)
                none = page;
        int known = page < pages + PAGES;
        if (losing)
            lost[log] = hit();
        if (known == !!losing)
            continue;
        if (known) {
            page->key = 0;
            continue;
        }
        if (!none)
            abort();
        memset(none->bytes, 0, sizeof none->bytes);
        if (pread(file, none->bytes, sizeof none->bytes, number * 4096) < 0)
            abort();
        none->key = 1 + 2 * number + log;
    }
}

/* Forgets what is cut off. */
static void cut(int file, off64_t length) {
    int log = control ? which(file) : -1;
    for (struct page *page = pages; log >= 0 && page < pages + PAGES; page++)
        if (page->key && (page->key - 1) % 2 == log && (page->key - 1) / 2 * 4096 >= length)
            page->key = 0;
}

int ftruncate64(int file, off64_t length) {
    static int (*real)(int, off64_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "ftruncate64");
    cut(file, length);
    return real(file, length);
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

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
    if (is_refused(file))
        return -1;
    if (control)
        keep(file, length, at);
    return real(file, bytes, length, at);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    return pwrite64(file, bytes, length, at);
}
