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
    volatile int32_t losing;        /* what is written to the database itself does not get to the disk */
    volatile int32_t hits;          /* counts what was not done as asked */
};

static struct control *control;

/* A page of the database, as the disk has it, that the system has in memory only. */
struct page {
    int64_t end;        /* where it ends in the file; 0 of none */
    char bytes[8192];
};
enum { PAGES = 4096 };

static struct page *pages;

/* Whether something was lost that no sync has failed for yet. */
static volatile int lost;

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

/* Whether a file is the database itself. */
static int is_database(int file) {
    return is_of_database(file, "wxedge.db") && !is_of_database(file, "wxedge.db-");
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
    if (lost && is_database(file) && hit()) {
        lost = 0;
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

/* Keeps what the disk has of a page that is written and lost; forgets it of one that is written and not. */
static void keep(int file, size_t length, off64_t at) {
    struct page *page = pages, *none = NULL;
    if (!is_database(file))
        return;
    for (; page < pages + PAGES && page->end != at + (off64_t)length; page++)
        if (!page->end && !none)
            none = page;
    int known = page < pages + PAGES;
    if (!control->losing) {
        if (known)
            page->end = 0;
        return;
    }
    lost = hit();
    if (known)
        return;
    if (!none || length != sizeof none->bytes)
        abort();
    memset(none->bytes, 0, length);
    if (pread(file, none->bytes, length, at) < 0)
        abort();
    none->end = at + length;
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
    if (is_refused(file))
        return -1;
    if (control)
        keep(file, length, at);
    return real(file, bytes, length, at);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    return pwrite64(file, bytes, length, at);
}
