/* For LD_PRELOAD: the C library says that pages have the size that PAGE_SIZE_OF_TEST names, in bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

long sysconf(int name)
{
    static long (*real)(int);
    const char *said = getenv("PAGE_SIZE_OF_TEST");

    if (name == _SC_PAGESIZE && said)
        return atol(said);
    if (!real)
        real = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return real(name);
}

int getpagesize(void)
{
    return (int)sysconf(_SC_PAGESIZE);
}
