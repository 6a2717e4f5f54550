/* Counts system calls and allocations of a process that has this library in LD_PRELOAD.
 *
 * Each function below takes the place of glibc's function of the same name, counts the call and passes it on.
 * `bench/counting.py` reads the counts. A system call that a program makes without glibc's function is not counted, and
 * neither is one that reads a clock, which the kernel answers without being entered.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* The order of the names in counting.py. */
enum { RECEIVE, WAIT, SEND, OTHER, ALLOCATE, KINDS };

static unsigned long counts[KINDS];

const unsigned long *bench_counts(void)
{
    return counts;
}

static void count(int kind)
{
    __atomic_fetch_add(&counts[kind], 1, __ATOMIC_RELAXED);
}

/* Define a function that counts a call and passes it on. */
#define COUNTED(kind, result, name, parameters, arguments)            \
    result name parameters                                            \
    {                                                                 \
        static result(*next) parameters;                              \
        if (!next)                                                    \
            next = (result(*) parameters)dlsym(RTLD_NEXT, #name);     \
        count(kind);                                                  \
        return next arguments;                                        \
    }

COUNTED(RECEIVE, int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t), (fd, m, n, flags, t))
COUNTED(RECEIVE, ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
COUNTED(RECEIVE, ssize_t, recv, (int fd, void *b, size_t n, int flags), (fd, b, n, flags))
COUNTED(RECEIVE, ssize_t, recvfrom, (int fd, void *b, size_t n, int flags, struct sockaddr *a, socklen_t *l), (fd, b, n, flags, a, l))
COUNTED(WAIT, int, poll, (struct pollfd *p, nfds_t n, int t), (p, n, t))
COUNTED(WAIT, int, ppoll, (struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s), (p, n, t, s))
COUNTED(WAIT, int, epoll_wait, (int fd, struct epoll_event *e, int n, int t), (fd, e, n, t))
COUNTED(WAIT, int, epoll_pwait, (int fd, struct epoll_event *e, int n, int t, const sigset_t *s), (fd, e, n, t, s))
COUNTED(WAIT, int, select, (int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *t), (n, r, w, x, t))
COUNTED(SEND, int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags), (fd, m, n, flags))
COUNTED(SEND, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
COUNTED(SEND, ssize_t, send, (int fd, const void *b, size_t n, int flags), (fd, b, n, flags))
COUNTED(SEND, ssize_t, sendto, (int fd, const void *b, size_t n, int flags, const struct sockaddr *a, socklen_t l), (fd, b, n, flags, a, l))
COUNTED(OTHER, ssize_t, read, (int fd, void *b, size_t n), (fd, b, n))
COUNTED(OTHER, ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
COUNTED(OTHER, int, getsockopt, (int fd, int level, int name, void *v, socklen_t *l), (fd, level, name, v, l))
COUNTED(OTHER, int, setsockopt, (int fd, int level, int name, const void *v, socklen_t l), (fd, level, name, v, l))
COUNTED(OTHER, int, madvise, (void *a, size_t n, int advice), (a, n, advice))

/* Declared with `...` in glibc, so it has to be written out. */
int ioctl(int fd, unsigned long request, ...)
{
    static int (*next)(int, unsigned long, void *);
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!next)
        next = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    count(OTHER);
    return next(fd, request, argument);
}

/* dlsym itself allocates, so these three use the names under which glibc exports its own allocator. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

void *malloc(size_t n)
{
    count(ALLOCATE);
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count(ALLOCATE);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count(ALLOCATE);
    return __libc_realloc(p, n);
}
