/* A file system without shared memory maps, as 9p with cache=none: SQLite's index of the log cannot be mapped. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_index(int descriptor)
{
    char link[64], path[4096];
    ssize_t length;

    if (descriptor < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path);
    return length > 4 && !strncmp(path + length - 4, "-shm", 4);
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);

    if (!real)
        real = dlsym(RTLD_NEXT, "mmap");
    if (is_index(descriptor)) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    return real(address, length, protection, flags, descriptor, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    return mmap(address, length, protection, flags, descriptor, offset);
}
