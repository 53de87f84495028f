/* A disk that fails while a file says so: preloaded into an engine's process by test_engine_bad_disks.py.
 *
 * DISK_FAULT_FILE holds "sync" (each sync of a file fails with EIO), "read-only" (each write, each sync
 * and each new file fails with EROFS), or is not there (all is well). Only what lies under
 * DISK_FAULT_UNDER is touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

static char fault(void) {
    const char *path = getenv("DISK_FAULT_FILE");
    char first = 0;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (fread(&first, 1, 1, file) != 1) first = 0;
        fclose(file);
    }
    return first;
}

static int ours(int fd) {
    const char *under = getenv("DISK_FAULT_UNDER");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    return under && size > 0 && !strncmp(path, under, strlen(under));
}

static int fails(int fd, int syncs) {
    int before = errno;
    char now = ours(fd) ? fault() : 0;
    errno = before;
    if (now == 'r') errno = EROFS;
    else if (now == 's' && syncs) errno = EIO;
    else return 0;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return fails(fd, 1) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails(fd, 1) ? -1 : REAL(fdatasync)(fd); }
ssize_t write(int fd, const void *data, size_t size) { return fails(fd, 0) ? -1 : REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return fails(fd, 0) ? -1 : REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return fails(fd, 0) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
int ftruncate(int fd, off_t size) { return fails(fd, 0) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails(fd, 0) ? -1 : REAL(ftruncate64)(fd, size); }

#define TELLS_READ_ONLY(name, kind)                                                                  \
    int name(const char *path, struct kind *status) {                                                \
        const char *under = getenv("DISK_FAULT_UNDER");                                              \
        int done = REAL(name)(path, status);                                                         \
        if (!done && under && !strncmp(path, under, strlen(under)) && fault() == 'r')                \
            status->f_flag |= ST_RDONLY;                                                             \
        return done;                                                                                 \
    }
TELLS_READ_ONLY(statvfs, statvfs)
TELLS_READ_ONLY(statvfs64, statvfs64)
