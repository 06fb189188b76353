/*
 * A load generator for HTTP/1.1 over loopback that takes little processor time itself.
 *
 *     load [-f FIELDS] [-n NAME] PORT PATH CONNECTIONS REQUESTS SECONDS [TOKENS once|cycle]
 *
 * FIELDS is a file with the header fields of every request, each line ended by CR and LF; without
 * it, there is a Host. NAME is the beginning of the field that carries a token, instead of
 * `Authorization: Negotiate `.
 *
 * With "nns" for a path it speaks the framing of MS-NNS instead: one handshake after the other on
 * each connection, each token in a HandshakeInProgress, answered by a HandshakeDone. That counts as
 * a 200, and as mutual if it carries a token; a HandshakeError counts as a 401.
 *
 * Keeps CONNECTIONS keep-alive connections to 127.0.0.1:PORT busy, one request at a time on each,
 * until REQUESTS were sent, SECONDS passed, or (with `once`) TOKENS ran out. TOKENS has one token a
 * line; each request carries the next one. `once` never sends a token twice; `cycle` starts again at
 * the top, for packages that do not mind. A connection that the server closes is opened again and
 * its unanswered request is counted as dropped.
 *
 * One JSON object goes to standard output: requests (answered), seconds, statuses (counts by code),
 * mutual (200s that carried `WWW-Authenticate: Negotiate <token>`), dropped, reconnects, exhausted
 * (true if TOKENS ran out), p50_us, p99_us and max_us of the answer times.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* MS-NNS section 2.2.1 */
enum { DONE = 0x14, ERROR = 0x15, IN_PROGRESS = 0x16, FRAME_HEAD = 5, MAX_FRAME = 65535 };
enum { MAX_HEAD = 96 * 1024, MAX_CONNECTIONS = 1024, DRAIN_SECONDS = 10, MAX_RECONNECTS = 10000 };

struct connection {
    int fd;
    bool busy;
    size_t got;       /* bytes of the answer in `in` */
    size_t body_left; /* bytes of the body still to come once the head is complete */
    bool in_body;
    double sent_at;
    char in[MAX_HEAD];
};

static struct {
    int port, epoll;
    const char *path, *name;
    char fields[MAX_HEAD / 2];
    long wanted;
    bool cycle, framed;
    const char *tokens, *next_token, *tokens_end;
} plan;

static struct {
    long sent, answered, statuses[600], mutual, dropped, reconnects;
    bool exhausted;
    uint32_t *times_us;
} tally;

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "bad answer");
    exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void map_tokens(const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &about) != 0 || about.st_size == 0)
        fail(path);
    plan.tokens = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (plan.tokens == MAP_FAILED)
        fail(path);
    plan.next_token = plan.tokens;
    plan.tokens_end = plan.tokens + about.st_size;
    close(fd);
}

/* Takes the next line of the token file; answers false when there is none left to send. */
static bool take_token(const char **token, int *length)
{
    if (plan.next_token >= plan.tokens_end && plan.cycle)
        plan.next_token = plan.tokens;
    const char *end = plan.next_token < plan.tokens_end
                          ? memchr(plan.next_token, '\n', (size_t)(plan.tokens_end - plan.next_token))
                          : NULL;
    if (end == NULL) {
        tally.exhausted = true;
        return false;
    }
    *token = plan.next_token;
    *length = (int)(end - plan.next_token);
    plan.next_token = end + 1;
    return true;
}

/* Reads the header fields that every request has. */
static void read_fields(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail(path);
    plan.fields[fread(plan.fields, 1, sizeof plan.fields - 1, file)] = '\0';
    if (!feof(file))
        fail("too many header fields");
    fclose(file);
}

static void open_connection(struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)plan.port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->busy = false;
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(plan.epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        fail("epoll_ctl");
}

static int base64_value(char digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = strchr(digits, digit);
    return found == NULL ? 0 : (int)(found - digits);
}

/* Writes a token, given in base64, as a frame; answers its size. */
static int write_frame(char *out, const char *token, int length)
{
    int size = length / 4 * 3;
    uint8_t *to = (uint8_t *)out + FRAME_HEAD;
    if (length % 4 != 0 || size > MAX_FRAME)
        fail("a token is too long");
    for (const char *from = token; from < token + length; from += 4) {
        uint32_t bits = 0;
        for (int i = 0; i < 4; i++)
            bits = bits << 6 | (uint32_t)base64_value(from[i]);
        *to++ = (uint8_t)(bits >> 16);
        *to++ = (uint8_t)(bits >> 8);
        *to++ = (uint8_t)bits;
    }
    for (const char *end = token + length; end > token && end[-1] == '='; end--)
        size--;
    memcpy(out, (char[]){IN_PROGRESS, 1, 0, (char)(size >> 8), (char)size}, FRAME_HEAD);
    return FRAME_HEAD + size;
}

static int write_request(char *out, size_t room, const char *token, int length)
{
    if (plan.framed)
        return write_frame(out, token, length);
    return snprintf(out, room, "GET %s HTTP/1.1\r\n%s%s%.*s%s\r\n", plan.path, plan.fields,
                    length ? plan.name : "", length, token, length ? "\r\n" : "");
}

/* Sends the next request, unless the plan has no more; a request fits the socket's buffer. */
static void send_request(struct connection *c)
{
    static char out[MAX_HEAD];
    const char *token = "";
    int length = 0;
    if (tally.sent >= plan.wanted || (plan.tokens != NULL && !take_token(&token, &length)))
        return;
    int size = write_request(out, sizeof out, token, length);
    if (size >= (int)sizeof out)
        fail("a token is too long");
    c->got = 0;
    c->in_body = false;
    c->busy = true;
    c->sent_at = now_s();
    tally.sent++;
    if (send(c->fd, out, (size_t)size, MSG_NOSIGNAL) != size && errno != EPIPE && errno != ECONNRESET)
        fail("send");
}

/* Answers the value of a header in the zero-terminated head, or NULL. `name` ends with a colon. */
static const char *find_header(const char *head, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0)
            return line + strlen(name) + strspn(line + strlen(name), " ");
    }
    return NULL;
}

/* Reads the head once it is complete; the bytes of the body that came with it are counted off. */
static void read_head(struct connection *c)
{
    c->in[c->got] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (end == NULL)
        return;
    size_t after = c->got - (size_t)(end + 4 - c->in);
    end[2] = '\0';
    int status = c->got > 12 ? atoi(c->in + 9) : 0;
    const char *size = find_header(c->in, "Content-Length:");
    const char *reply = find_header(c->in, "WWW-Authenticate:");
    errno = 0;
    if (status < 100 || status > 599 || size == NULL || (size_t)atol(size) < after)
        fail("answer without a status or a length");
    tally.statuses[status]++;
    tally.mutual += status == 200 && reply != NULL && strncasecmp(reply, "Negotiate ", 10) == 0
                    && strcspn(reply + 10, "\r\n ") > 0;
    c->body_left = (size_t)atol(size) - after;
    c->in_body = true;
}

/* Reads the head of a frame once it is complete. */
static void read_frame(struct connection *c)
{
    const uint8_t *in = (const uint8_t *)c->in;
    if (c->got < FRAME_HEAD)
        return;
    size_t size = (size_t)in[3] << 8 | in[4], after = c->got - FRAME_HEAD;
    errno = 0;
    if ((in[0] != DONE && in[0] != ERROR) || size < after)
        fail("a frame that ends no handshake");
    tally.statuses[in[0] == DONE ? 200 : 401]++;
    tally.mutual += in[0] == DONE && size > 0;
    c->body_left = size - after;
    c->in_body = true;
}

static void finish_answer(struct connection *c)
{
    tally.times_us[tally.answered++] = (uint32_t)((now_s() - c->sent_at) * 1e6);
    c->busy = false;
}

static void reopen(struct connection *c)
{
    tally.dropped += c->busy;
    if (++tally.reconnects > MAX_RECONNECTS)
        fail("the server closes every connection");
    close(c->fd);
    open_connection(c);
}

/* Takes what arrived; afterwards the connection is either idle or still waits for more. */
static void receive(struct connection *c)
{
    static char sink[MAX_HEAD];
    char *into = c->in_body ? sink : c->in + c->got;
    size_t room = c->in_body ? sizeof sink : sizeof c->in - 1 - c->got;
    ssize_t got = recv(c->fd, into, room, 0);
    if (got <= 0) {
        reopen(c);
        return;
    }
    if (!c->busy || (c->in_body && (size_t)got > c->body_left)) {
        errno = 0;
        fail("bytes that nobody asked for");
    }
    if (c->in_body) {
        c->body_left -= (size_t)got;
    } else {
        c->got += (size_t)got;
        if (plan.framed)
            read_frame(c);
        else
            read_head(c);
    }
    if (c->in_body && c->body_left == 0)
        finish_answer(c);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(double seconds)
{
    long n = tally.answered;
    const char *comma = "";
    qsort(tally.times_us, (size_t)n, sizeof *tally.times_us, by_size);
    printf("{\"requests\": %ld, \"seconds\": %.6f, \"statuses\": {", n, seconds);
    for (int status = 0; status < 600; status++) {
        if (tally.statuses[status] == 0)
            continue;
        printf("%s\"%d\": %ld", comma, status, tally.statuses[status]);
        comma = ", ";
    }
    printf("}, \"mutual\": %ld, \"dropped\": %ld, \"reconnects\": %ld, \"exhausted\": %s", tally.mutual,
           tally.dropped, tally.reconnects, tally.exhausted ? "true" : "false");
    printf(", \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n", n ? tally.times_us[n / 2] : 0,
           n ? tally.times_us[n * 99 / 100] : 0, n ? tally.times_us[n - 1] : 0);
}

/* Runs until every answer is in; after `stop_at` nothing new is sent. */
static void run(struct connection *connections, int count, double stop_at)
{
    struct epoll_event events[MAX_CONNECTIONS];
    for (int i = 0; i < count; i++)
        send_request(&connections[i]);
    while (tally.answered + tally.dropped < tally.sent) {
        double now = now_s();
        if (now > stop_at + DRAIN_SECONDS)
            break;
        int ready = epoll_wait(plan.epoll, events, MAX_CONNECTIONS, 1000);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            receive(c);
            if (!c->busy && now < stop_at)
                send_request(c);
        }
    }
    tally.dropped = tally.sent - tally.answered;
}

int main(int argc, char **argv)
{
    const char *fields = NULL;
    int option;
    plan.name = "Authorization: Negotiate ";
    while ((option = getopt(argc, argv, "f:n:")) != -1) {
        if (option == 'f')
            fields = optarg;
        else
            plan.name = optarg;
    }
    argc -= optind - 1;
    argv += optind - 1;
    if (argc != 6 && argc != 8) {
        fprintf(stderr, "usage: load [-f FIELDS] [-n NAME] PORT PATH CONNECTIONS REQUESTS SECONDS "
                        "[TOKENS once|cycle]\n");
        return 2;
    }
    int count = atoi(argv[3]);
    if (count < 1 || count > MAX_CONNECTIONS)
        fail("number of connections");
    plan.port = atoi(argv[1]);
    plan.path = argv[2];
    snprintf(plan.fields, sizeof plan.fields, "Host: localhost:%d\r\n", plan.port);
    if (fields != NULL)
        read_fields(fields);
    plan.framed = strcmp(plan.path, "nns") == 0;
    plan.wanted = atol(argv[4]);
    plan.epoll = epoll_create1(0);
    if (plan.framed && argc != 8)
        fail("handshakes need tokens");
    if (argc == 8) {
        map_tokens(argv[6]);
        plan.cycle = strcmp(argv[7], "cycle") == 0;
    }
    tally.times_us = calloc((size_t)plan.wanted + 1, sizeof *tally.times_us);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    if (tally.times_us == NULL || connections == NULL)
        fail("memory");
    for (int i = 0; i < count; i++)
        open_connection(&connections[i]);
    double start = now_s();
    run(connections, count, start + atof(argv[5]));
    report(now_s() - start);
    return 0;
}
