/* The floor: the same system calls in plain C, without looking at the data. It is also the source of the traffic in
 * every other measurement, so that all contestants get the same traffic.
 *
 * It has two roles and `key=value` options, reads commands from standard input and answers each with a line of JSON:
 *
 *   floor recv group= port= size= [vlen=64] [gro=0] [meta=0] [buffer=1073741824]
 *     meta=1 requests the sender of each datagram, meta=2 the time and the TTL as well
 *     take N      read N datagrams that are already queued
 *     listen      read until SIGUSR1
 *     latency     one blocking recv for each datagram until SIGUSR1; the payload starts with the sender's clock
 *   floor send group= port= size= [kind=mmsg|gso|sendto] [segments=64] [groups=1] [mixed=0] [stamp=0]
 *     send N RATE send N datagrams, RATE per second (0: as fast as possible), or until SIGUSR1
 *
 * It never reads payloads, addresses or control messages, because a floor is the least that a receiver can do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    LOOPBACK_INDEX = 1,
    MAX_VLEN = 1024,
    MAX_DATAGRAM = 65507,
    /* Slots on page boundaries would share cache sets, so each one starts three cache lines later. */
    SLOT_STRIDE = 65536 + 192,
    CONTROL_BYTES = 256,
    MAX_SAMPLES = 1000000,
    NS = 1000000000,
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * NS + t.tv_nsec;
}

static void answer(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* The value of `key=` among the arguments, or `otherwise`. */
static const char *option(int argc, char **argv, const char *key, const char *otherwise)
{
    size_t length = strlen(key);
    for (int i = 2; i < argc; i++)
        if (!strncmp(argv[i], key, length) && argv[i][length] == '=')
            return argv[i] + length + 1;
    return otherwise;
}

static int number(int argc, char **argv, const char *key, int otherwise)
{
    const char *text = option(argc, argv, key, NULL);
    return text ? atoi(text) : otherwise;
}

static struct sockaddr_in address(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_port = htons((uint16_t)number(argc, argv, "port", 0));
    if (inet_pton(AF_INET, option(argc, argv, "group", ""), &a.sin_addr) != 1)
        die("group=");
    return a;
}

static void set(int fd, int level, int name, int value, const char *what)
{
    if (setsockopt(fd, level, name, &value, sizeof value))
        die(what);
}

/* ---- receiving ---- */

struct reader {
    int fd, vlen, size, gro, meta;
    struct mmsghdr *headers;
    struct iovec *pieces;
    struct sockaddr_in *names;
    char *slots, *controls;
};

static void open_reader(struct reader *r, int argc, char **argv)
{
    struct sockaddr_in a = address(argc, argv);
    struct ip_mreqn membership = {a.sin_addr, {0}, LOOPBACK_INDEX};
    struct timeval patience = {0, 100000};
    int wanted = number(argc, argv, "buffer", 1 << 30), granted = 0;
    socklen_t length = sizeof granted;

    memset(r, 0, sizeof *r);
    r->size = number(argc, argv, "size", 100);
    r->gro = number(argc, argv, "gro", 0);
    r->meta = number(argc, argv, "meta", 0);
    r->vlen = number(argc, argv, "vlen", 64);
    if (r->vlen < 1 || r->vlen > MAX_VLEN || r->size < 1 || r->size > MAX_DATAGRAM) {
        errno = ERANGE;
        die("vlen= or size=");
    }
    r->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (r->fd < 0)
        die("socket");
    set(r->fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (setsockopt(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted))
        set(r->fd, SOL_SOCKET, SO_RCVBUF, wanted, "SO_RCVBUF");
    if (getsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &granted, &length))
        die("SO_RCVBUF");
    if (setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
        die("SO_RCVTIMEO");
    if (bind(r->fd, (struct sockaddr *)&a, sizeof a))
        die("bind");
    if (setsockopt(r->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership))
        die("IP_ADD_MEMBERSHIP");
    if (r->gro)
        set(r->fd, IPPROTO_UDP, UDP_GRO, 1, "UDP_GRO");
    if (r->meta > 1) {
        set(r->fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS");
        set(r->fd, IPPROTO_IP, IP_RECVTTL, 1, "IP_RECVTTL");
    }
    r->headers = calloc((size_t)r->vlen, sizeof *r->headers);
    r->pieces = calloc((size_t)r->vlen, sizeof *r->pieces);
    r->names = calloc((size_t)r->vlen, sizeof *r->names);
    r->slots = malloc((size_t)r->vlen * SLOT_STRIDE);
    r->controls = malloc((size_t)r->vlen * CONTROL_BYTES);
    if (!r->headers || !r->pieces || !r->names || !r->slots || !r->controls)
        die("memory");
    for (int i = 0; i < r->vlen; i++) {
        r->pieces[i] = (struct iovec){r->slots + (size_t)i * SLOT_STRIDE, 65536};
        r->headers[i].msg_hdr.msg_iov = &r->pieces[i];
        r->headers[i].msg_hdr.msg_iovlen = 1;
    }
    answer("{\"ready\": true, \"buffer\": %d}", granted);
}

/* Call recvmmsg once. Return the number of datagrams, or -1 with errno. */
static long read_batch(struct reader *r, int flags)
{
    long datagrams = 0;
    if (r->meta)
        for (int i = 0; i < r->vlen; i++) {
            struct msghdr *h = &r->headers[i].msg_hdr;
            h->msg_name = &r->names[i];
            h->msg_namelen = sizeof r->names[i];
            if (r->meta > 1) {
                h->msg_control = r->controls + (size_t)i * CONTROL_BYTES;
                h->msg_controllen = CONTROL_BYTES;
            }
        }
    int count = recvmmsg(r->fd, r->headers, (unsigned)r->vlen, flags, NULL);
    if (count < 0 || !r->gro)
        return count;
    for (int i = 0; i < count; i++)
        datagrams += (r->headers[i].msg_len + (unsigned)r->size - 1) / (unsigned)r->size;
    return datagrams;
}

static void report(long datagrams, int64_t cpu, int64_t wall)
{
    answer("{\"datagrams\": %ld, \"cpu_ns\": %lld, \"wall_ns\": %lld}", datagrams, (long long)cpu, (long long)wall);
}

static void take(struct reader *r, long wanted)
{
    int64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    long got = 0;
    while (got < wanted) {
        long more = read_batch(r, MSG_DONTWAIT);
        if (more < 0 && (errno == EAGAIN || errno == EINTR))
            break; /* everything was queued before the clock started: nothing more will arrive */
        if (more < 0)
            die("recvmmsg");
        got += more;
    }
    report(got, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, now(CLOCK_MONOTONIC) - wall);
}

static void listen_until_signal(struct reader *r)
{
    int64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    long got = 0;
    while (!stopped) {
        long more = read_batch(r, MSG_WAITFORONE);
        if (more < 0 && errno != EAGAIN && errno != EINTR)
            die("recvmmsg");
        got += more < 0 ? 0 : more;
    }
    report(got, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, now(CLOCK_MONOTONIC) - wall);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void latency(struct reader *r)
{
    static int64_t samples[MAX_SAMPLES];
    long got = 0;
    while (!stopped && got < MAX_SAMPLES) {
        int64_t stamp;
        ssize_t length = recv(r->fd, r->slots, 65536, 0);
        if (length < (ssize_t)sizeof stamp) {
            if (length < 0 && errno != EAGAIN && errno != EINTR)
                die("recv");
            continue;
        }
        memcpy(&stamp, r->slots, sizeof stamp);
        samples[got++] = now(CLOCK_MONOTONIC) - stamp;
    }
    qsort(samples, (size_t)got, sizeof *samples, by_value);
    answer("{\"datagrams\": %ld, \"p50_ns\": %lld, \"p99_ns\": %lld}", got,
        (long long)(got ? samples[got / 2] : -1), (long long)(got ? samples[got * 99 / 100] : -1));
}

/* ---- sending ---- */

struct writer {
    int fd, size, per_message, to_many, stamp, one_by_one;
    int groups;
    struct sockaddr_in *targets;
    struct mmsghdr headers[64];
    struct iovec pieces[64];
    char *payload;
};

static void open_writer(struct writer *w, int argc, char **argv)
{
    const char *kind = option(argc, argv, "kind", "mmsg");
    struct sockaddr_in a = address(argc, argv);
    struct ip_mreqn through = {{0}, {0}, LOOPBACK_INDEX};
    int mixed = number(argc, argv, "mixed", 0);

    memset(w, 0, sizeof *w);
    w->size = number(argc, argv, "size", 100);
    w->stamp = number(argc, argv, "stamp", 0);
    w->groups = number(argc, argv, "groups", 1);
    w->one_by_one = !strcmp(kind, "sendto");
    w->to_many = w->groups > 1 || w->one_by_one;
    w->per_message = strcmp(kind, "gso") ? 1 : number(argc, argv, "segments", 64);
    if (w->size < 8 || w->size * w->per_message > MAX_DATAGRAM || w->groups < 1 || w->groups > 65535) {
        errno = ERANGE;
        die("size=, segments= or groups=");
    }
    w->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        die("socket");
    if (setsockopt(w->fd, IPPROTO_IP, IP_MULTICAST_IF, &through, sizeof through))
        die("IP_MULTICAST_IF");
    if (w->per_message > 1)
        set(w->fd, IPPROTO_UDP, UDP_SEGMENT, w->size, "UDP_SEGMENT");
    w->targets = calloc((size_t)w->groups, sizeof *w->targets);
    w->payload = calloc(1, MAX_DATAGRAM);
    if (!w->targets || !w->payload)
        die("memory");
    for (int i = 0; i < w->groups; i++) {
        w->targets[i] = a;
        w->targets[i].sin_addr.s_addr = htonl(ntohl(a.sin_addr.s_addr) + (uint32_t)i);
    }
    if (!w->to_many && connect(w->fd, (struct sockaddr *)&a, sizeof a))
        die("connect");
    for (int i = 0; i < 64; i++) {
        /* Mixed: every message differs in size from the ones beside it, so that nothing can be coalesced. */
        size_t length = (size_t)(mixed ? w->size + i % 16 : w->size * w->per_message);
        w->pieces[i] = (struct iovec){w->payload, length};
        w->headers[i].msg_hdr.msg_iov = &w->pieces[i];
        w->headers[i].msg_hdr.msg_iovlen = 1;
        if (w->to_many) {
            w->headers[i].msg_hdr.msg_name = &w->targets[0];
            w->headers[i].msg_hdr.msg_namelen = sizeof a;
        }
    }
    answer("{\"ready\": true}");
}

/* Send at most `most` datagrams; return how many were sent. */
static long write_some(struct writer *w, long most, long already)
{
    if (w->stamp) {
        int64_t stamp = now(CLOCK_MONOTONIC);
        memcpy(w->payload, &stamp, sizeof stamp);
        most = 1;
    }
    if (w->one_by_one) {
        if (sendto(w->fd, w->payload, (size_t)w->size, 0, (struct sockaddr *)w->targets, sizeof *w->targets) < 0)
            die("sendto");
        return 1;
    }
    if (most < w->per_message) { /* the rest of a coalesced run */
        if (send(w->fd, w->payload, (size_t)w->size * (size_t)most, 0) < 0)
            die("send");
        return most;
    }
    long messages = most / w->per_message;
    if (messages > 64)
        messages = 64;
    if (w->groups > 1)
        for (int i = 0; i < messages; i++)
            w->headers[i].msg_hdr.msg_name = &w->targets[(already + i) % w->groups];
    int sent = sendmmsg(w->fd, w->headers, (unsigned)messages, 0);
    if (sent < 0)
        die("sendmmsg");
    return (long)sent * w->per_message;
}

static void send_all(struct writer *w, long count, long rate)
{
    int64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), start = now(CLOCK_MONOTONIC);
    long sent = 0;
    /* Paced: wake at most 5,000 times per second and send what is due, so that pacing itself stays cheap. */
    long chunk = rate > 5000 ? rate / 5000 : 1;
    while (sent < count && !stopped) {
        long due = count - sent;
        if (rate) {
            int64_t at = start + (int64_t)((double)sent * NS / (double)rate);
            struct timespec t = {at / NS, at % NS};
            while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR && !stopped)
                ;
            due = due < chunk ? due : chunk;
        }
        while (due > 0) {
            long more = write_some(w, due, sent);
            due -= more;
            sent += more;
        }
    }
    report(sent, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, now(CLOCK_MONOTONIC) - start);
}

/* Return the next command, or NULL at end of file. A signal that arrives too late to stop anything is ignored. */
static char *command(char *line, int room)
{
    char *read;
    while (!(read = fgets(line, room, stdin)) && ferror(stdin) && errno == EINTR)
        clearerr(stdin);
    stopped = 0;
    return read;
}

int main(int argc, char **argv)
{
    static struct reader reader;
    static struct writer writer;
    struct sigaction action = {.sa_handler = on_signal};
    char line[128];
    int receives = argc > 1 && !strcmp(argv[1], "recv");

    if (!receives && (argc < 2 || strcmp(argv[1], "send"))) {
        fprintf(stderr, "usage: floor recv|send group=G port=P [key=value ...]\n");
        return 64;
    }
    sigaction(SIGUSR1, &action, NULL); /* without SA_RESTART: a blocked call returns */
    if (receives)
        open_reader(&reader, argc, argv);
    else
        open_writer(&writer, argc, argv);
    while (command(line, sizeof line)) {
        long count = 0, rate = 0;
        if (receives && sscanf(line, "take %ld", &count) == 1)
            take(&reader, count);
        else if (receives && !strncmp(line, "listen", 6))
            listen_until_signal(&reader);
        else if (receives && !strncmp(line, "latency", 7))
            latency(&reader);
        else if (!receives && sscanf(line, "send %ld %ld", &count, &rate) >= 1)
            send_all(&writer, count, rate);
        else {
            fprintf(stderr, "floor: unknown command: %s", line);
            return 64;
        }
    }
    return 0;
}
