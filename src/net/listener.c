#include "net/listener.h"

#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { ACCEPTS_A_TURN = 64, DEFAULT_BACKLOG = 1024, OUT_OF_DESCRIPTORS_MS = 1000 };

struct listener {
    struct loop *loop;
    int fd;
    struct watch watch;
    struct timer again;
    struct endpoint at;
    bool is_paused;
    listener_accepted *on_accept;
    void *owner;
    bool is_walking, is_freed; /* freed from inside on_accept */
};

static bool is_only_that_connection(int error)
{
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
    case EINTR: return true;
    default: return false;
    }
}

static void accept_one(struct listener *listener, int fd, const struct sockaddr_storage *from)
{
    struct endpoint peer;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    endpoint_of_sockaddr(from, &peer);
    listener->on_accept(listener->owner, fd, &peer);
}

static void on_ready(struct watch *watch, bool can_read, bool can_write)
{
    struct listener *listener = watch->owner;
    listener->is_walking = true;
    for (int i = 0; i < ACCEPTS_A_TURN && !listener->is_paused && !listener->is_freed; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        memset(&from, 0, sizeof(from));
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(listener, fd, &from);
            continue;
        }
        if (is_only_that_connection(errno))
            continue;
        if (errno != EAGAIN) {
            char text[ENDPOINT_TEXT_ROOM];
            log_warn("net", "cannot accept on %s: %s; trying again in a second (limit of open files?)",
                     endpoint_text(&listener->at, text), strerrordesc_np(errno));
            watch_want(&listener->watch, false, false);
            timer_set(&listener->again, OUT_OF_DESCRIPTORS_MS);
        }
        break;
    }
    listener->is_walking = false;
    if (listener->is_freed)
        free(listener);
}

static void on_again(struct timer *timer)
{
    struct listener *listener = timer->owner;
    if (!listener->is_paused)
        watch_want(&listener->watch, true, false);
}

static bool bind_fault(struct fault *why, const struct listener_options *options, int error)
{
    char at[ENDPOINT_TEXT_ROOM];
    endpoint_text(&options->at, at);
    const char *setting = options->cure_setting ? options->cure_setting : "the listen setting";
    switch (error) {
    case EADDRINUSE:
        return fault_set(
            why, FAULT_WORLD,
            "cannot listen on %s: port %u is in use; stop the program that has it (ss -ltnp shows which), or "
            "choose another port in %s",
            at, options->at.port, setting);
    case EACCES:
        return fault_set(why, FAULT_WORLD,
                         "cannot listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose another "
                         "port in %s",
                         at, setting);
    case EADDRNOTAVAIL:
        return fault_set(why, FAULT_WORLD, "cannot listen on %s: this machine has no such address; see %s", at,
                         setting);
    default: errno = error; return fault_errno(why, "cannot listen on %s", at);
    }
}

static bool listen_on(int fd, const struct listener_options *options)
{
    struct sockaddr_storage address;
    int on = 1;
    socklen_t len = endpoint_to_sockaddr(&options->at, &address);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (options->is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        (options->at.ip.family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0))
        return false;
    return bind(fd, (const struct sockaddr *)&address, len) == 0 &&
           listen(fd, options->backlog ? options->backlog : DEFAULT_BACKLOG) == 0;
}

/* -1: why. */
static int listen_at(const struct listener_options *options, struct fault *why)
{
    int family = options->at.ip.family == 6 ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && listen_on(fd, options))
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    bind_fault(why, options, error);
    return -1;
}

bool listener_prepare(struct world *world, const struct listener_options *options, struct fault *why)
{
    if (world->prepared_count == WORLD_PREPARED_MOST)
        return fault_set(why, FAULT_INPUT, "more than %d ports", WORLD_PREPARED_MOST);
    int fd = listen_at(options, why);
    if (fd < 0)
        return false;
    world->prepared[world->prepared_count].at = options->at;
    world->prepared[world->prepared_count++].fd = fd;
    return true;
}

/* One that was prepared is used in the place of a new one; -1: there is none. */
static int prepared_socket(const struct world *world, const struct endpoint *at)
{
    for (unsigned i = 0; i < world->prepared_count; i++)
        if (world->prepared[i].at.port == at->port && ip_equal(&world->prepared[i].at.ip, &at->ip))
            return fcntl(world->prepared[i].fd, F_DUPFD_CLOEXEC, 3);
    return -1;
}

struct listener *listener_new(struct loop *loop, const struct listener_options *options, listener_accepted *on_accept,
                              void *owner, struct fault *why)
{
    int fd = prepared_socket(loop_world(loop), &options->at);
    if (fd < 0 && (fd = listen_at(options, why)) < 0)
        return NULL;
    struct listener *listener = NEW(struct listener);
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    memset(&address, 0, sizeof(address));
    listener->at = options->at;
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        endpoint_of_sockaddr(&address, &listener->at);
    listener->loop = loop;
    listener->fd = fd;
    listener->on_accept = on_accept;
    listener->owner = owner;
    timer_init(&listener->again, loop, on_again, listener);
    watch_init(&listener->watch, loop, fd, on_ready, listener);
    watch_want(&listener->watch, true, false);
    return listener;
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    watch_clear(&listener->watch);
    timer_clear(&listener->again);
    close(listener->fd);
    listener->is_freed = true;
    if (!listener->is_walking)
        free(listener);
}

struct endpoint listener_endpoint(const struct listener *listener)
{
    return listener->at;
}

void listener_pause(struct listener *listener)
{
    listener->is_paused = true;
    timer_clear(&listener->again);
    watch_want(&listener->watch, false, false);
}

void listener_resume(struct listener *listener)
{
    listener->is_paused = false;
    watch_want(&listener->watch, true, false);
}
