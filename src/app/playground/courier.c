/* courier.c - sends error mail and its kin by SMTP to where the zone says the sender lives
 *
 * A letter waits (due), is taken by a *trip* (one connection to one domain), and ends: taken by them, refused for good,
 * or given up after a minute of trying. A trip takes letters of its domain one after another until none is due; at most
 * TRIPS_MOST at once, so that a thousand bounces of one second do not open a thousand connections. */
#include "app/playground/inside.h"

#include "base/memory.h"
#include "dns/route.h"
#include "net/stream.h"
#include "smtp/client.h"

enum { TRIPS_MOST = 6, RETRY_MS = 1000, GIVE_UP_MS = 60000, LETTERS_A_TRIP = 50, LINGER_MS = 1000 };

struct letter {
    struct letter *next;
    const struct site *site;
    enum fate fate;
    time_ms due, first_due;
    struct slice mail_from, mail_to, mail; /* behind the struct */
};

struct trip {
    struct trip *next;
    struct courier *courier;
    char domain[256];
    const struct site *site; /* whose name we say in EHLO */
    struct route_query *route;
    struct stream *stream;
    struct smtp_client *client;
    struct letter *letter;     /* on the way */
    enum smtp_outcome outcome; /* of it, once told; its memory is needed a moment longer */
    int code;
    unsigned sent;
    unsigned step;
};

struct courier {
    struct playground *playground;
    struct letter *waiting; /* in the order of coming */
    struct letter **waiting_end;
    struct trip *trips;
    unsigned trip_count;
    struct tls_roots *roots;
    struct tls_client *tls;
    struct timer timer;
};

static void look(struct courier *courier);

static struct slice domain_of(struct slice address)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    return at < 0 ? SLICE("") : slice_from(address, (size_t)at + 1);
}

static void queue_letter(struct courier *courier, struct letter *letter)
{
    letter->next = NULL;
    *courier->waiting_end = letter;
    courier->waiting_end = &letter->next;
}

/* Take the first due letter of this domain (any when empty) out of the queue. */
static struct letter *take_due(struct courier *courier, struct slice domain)
{
    time_ms now = loop_now(courier->playground->loop);
    for (struct letter **at = &courier->waiting; *at; at = &(*at)->next) {
        struct letter *letter = *at;
        if (letter->due > now || (domain.len && !slice_equal_caseless(domain_of(letter->mail_to), domain)))
            continue;
        *at = letter->next;
        if (courier->waiting_end == &letter->next)
            courier->waiting_end = at;
        return letter;
    }
    return NULL;
}

static void letter_done(struct courier *courier, struct letter *letter, bool was_taken, const struct reply *reply)
{
    struct playground *playground = courier->playground;
    if (was_taken) {
        tally_add(&playground->tally.notices_sent[letter->fate]);
        inbox_add(&playground->inbox, &(struct inbox_mail){.at = world_wall(playground->world),
                                                           .envelope_from = letter->mail_from,
                                                           .to = letter->mail_to,
                                                           .mail = letter->mail,
                                                           .is_error = true,
                                                           .label = slice_str(letter->site->label)});
    } else {
        tally_add(&playground->tally.notices_failed);
    }
    playground_note(playground, "notice", letter->fate, reply->code, letter->site->host, letter->mail_to, SLICE(""));
    atomic_fetch_sub_explicit(&playground->tally.notices_waiting, 1, memory_order_relaxed);
    free(letter);
}

/* Refused for now, or never said: again in a second, or never. */
static void letter_again(struct courier *courier, struct letter *letter, const struct reply *reply)
{
    time_ms now = loop_now(courier->playground->loop);
    if (now - letter->first_due > GIVE_UP_MS) {
        letter_done(courier, letter, false, reply);
        return;
    }
    letter->due = now + RETRY_MS;
    queue_letter(courier, letter);
}

static void trip_free(struct trip *trip)
{
    struct courier *courier = trip->courier;
    for (struct trip **at = &courier->trips; *at; at = &(*at)->next) {
        if (*at == trip) {
            *at = trip->next;
            break;
        }
    }
    courier->trip_count--;
    if (trip->route)
        route_cancel(trip->route);
    if (trip->stream)
        stream_leave(trip->stream, LINGER_MS);
    smtp_client_free(trip->client);
    if (trip->letter) {
        struct reply none = {0};
        letter_again(courier, trip->letter, &none);
    }
    free(trip);
    timer_set(&courier->timer, 1);
}

static void give_letter(struct trip *trip)
{
    struct courier *courier = trip->courier;
    if (trip->letter || !smtp_client_has_room(trip->client))
        return;
    trip->letter = trip->sent < LETTERS_A_TRIP ? take_due(courier, slice_str(trip->domain)) : NULL;
    if (!trip->letter) {
        smtp_client_quit(trip->client);
        return;
    }
    trip->sent++;
    struct smtp_message message = {
        .mail_from = trip->letter->mail_from,
        .recipients = &trip->letter->mail_to,
        .recipient_count = 1,
        .body = &trip->letter->mail,
        .body_count = 1,
    };
    enum smtp_fit fit = smtp_client_send(trip->client, &message);
    if (fit == SMTP_FITS) {
        smtp_client_release_dot(trip->client);
    } else {
        struct reply reply = smtp_fit_reply(fit);
        letter_done(courier, trip->letter, false, &reply);
        trip->letter = NULL;
    }
}

/* The message's memory is free: what became of the letter. */
static void settle(struct trip *trip)
{
    struct letter *letter = trip->letter;
    struct reply reply = {.code = trip->code};
    trip->letter = NULL;
    if (trip->outcome == SMTP_DELIVERED)
        letter_done(trip->courier, letter, true, &reply);
    else if (trip->outcome == SMTP_REFUSED && trip->code >= 500)
        letter_done(trip->courier, letter, false, &reply);
    else
        letter_again(trip->courier, letter, &reply);
}

/* False: the trip is over and gone. */
static bool pump(struct trip *trip, struct slice *received)
{
    struct smtp_client_event event;
    bool is_over = false, wants_tls = false;
    for (bool has_news = true; has_news;) {
        has_news = false;
        while (!wants_tls && smtp_client_next(trip->client, received, &event)) {
            has_news = true;
            if (event.what == SMTP_CLIENT_RECIPIENT) {
                trip->outcome = event.outcome;
                trip->code = event.reply.code;
            } else if (event.what == SMTP_CLIENT_MESSAGE && trip->letter)
                settle(trip);
            else if (event.what == SMTP_CLIENT_WANT_TLS)
                wants_tls = true;
            else if (event.what == SMTP_CLIENT_OVER)
                is_over = true;
        }
        if (!is_over && !wants_tls && smtp_client_has_room(trip->client) && !trip->letter) {
            give_letter(trip);
            has_news = true;
        }
        if (is_over || wants_tls)
            break;
    }
    if (trip->stream) {
        bool has_more;
        do {
            has_more = smtp_client_write(trip->client, stream_out(trip->stream));
        } while (has_more && stream_room(trip->stream) > SMTP_CLIENT_CHUNK);
        stream_flush_soon(trip->stream);
    }
    if (is_over) {
        trip_free(trip);
        return false;
    }
    if (wants_tls) {
        struct tls_want want = {.client = trip->courier->tls, .name = trip->domain, .verify = TLS_VERIFY_NONE};
        stream_start_tls_client(trip->stream, &want);
    }
    if (smtp_client_step(trip->client) != trip->step) {
        trip->step = smtp_client_step(trip->client);
        stream_deadline(trip->stream, smtp_client_timeout_ms(trip->client), "the return path");
    }
    return true;
}

static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct slice rest = bytes;
    return pump(owner, &rest) ? bytes.len - rest.len : bytes.len;
}

static void on_drained(void *owner, struct stream *stream)
{
    struct slice nothing = {NULL, 0};
    pump(owner, &nothing);
}

static void on_tls(void *owner, struct stream *stream, const struct tls_info *info)
{
    struct trip *trip = owner;
    struct slice nothing = {NULL, 0};
    smtp_client_tls_done(trip->client, true, info->is_verified);
    pump(trip, &nothing);
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct trip *trip = owner;
    struct slice nothing = {NULL, 0};
    trip->stream = NULL;
    smtp_client_closed(trip->client, slice_str(end->text));
    pump(trip, &nothing);
}

static const struct stream_events stream_events = {
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_tls = on_tls,
    .on_closed = on_closed,
};

static void on_route(void *owner, const struct route *route)
{
    struct trip *trip = owner;
    trip->route = NULL;
    if (route->status != ROUTE_FOUND || route->hosts[0].address_count == 0) {
        trip_free(trip);
        return;
    }
    struct smtp_client_settings settings = {.ehlo_name = slice_str(trip->site->host), .tls = SMTP_TLS_MAY};
    struct stream_target target = {
        .to = {.ip = route->hosts[0].addresses[0], .port = 25},
        .from = ip_v4(127, 25, trip->site->ip[0], trip->site->ip[1]),
        .deadline_ms = SECONDS_MS(10),
    };
    trip->client = smtp_client_new(&settings);
    trip->stream = stream_connect(trip->courier->playground->loop, &target, &stream_events, trip);
}

static void start_trip(struct courier *courier, struct letter *letter)
{
    static const struct route_options any;
    struct trip *trip = NEW(struct trip);
    struct slice domain = domain_of(letter->mail_to);
    trip->courier = courier;
    trip->site = letter->site;
    snprintf(trip->domain, sizeof(trip->domain), "%.*s", SLICE_ARG(domain));
    trip->letter = NULL;
    trip->next = courier->trips;
    courier->trips = trip;
    courier->trip_count++;
    trip->route = route_ask(courier->playground->dns, slice_str(trip->domain), &any, on_route, trip);
    queue_letter(courier, letter); /* the trip takes it when it has arrived */
}

/* A trip of each sender's site would be truer and dearer: one for a domain serves all sites. */
static bool has_trip(const struct courier *courier, struct slice domain)
{
    for (const struct trip *trip = courier->trips; trip; trip = trip->next)
        if (slice_equal_caseless(slice_str(trip->domain), domain))
            return true;
    return false;
}

/* Start what is due; sleep until the next is. */
static void look(struct courier *courier)
{
    time_ms now = loop_now(courier->playground->loop), next = 0;
    size_t due = 0;
    for (struct letter *letter = courier->waiting; letter; letter = letter->next) {
        if (letter->due <= now)
            due++;
        else if (!next || letter->due < next)
            next = letter->due;
    }
    while (due > 0 && courier->trip_count < TRIPS_MOST && !courier->playground->is_stopping) {
        struct letter *letter = take_due(courier, SLICE(""));
        if (!letter)
            break;
        /* a second trip to the same place only for a crowd */
        if (has_trip(courier, domain_of(letter->mail_to)) && due < courier->trip_count * 20) {
            queue_letter(courier, letter);
            break;
        }
        start_trip(courier, letter);
        due--;
    }
    if (due > 0 && (!next || next > now + 50))
        next = now + 50;
    if (next)
        timer_set(&courier->timer, next - now);
}

static void on_timer(struct timer *timer)
{
    look(timer->owner);
}

void courier_send(struct courier *courier, const struct site *site, enum fate fate, time_ms in_ms,
                  struct slice mail_from, struct slice mail_to, struct slice mail)
{
    struct letter *letter = memory_alloc(sizeof(struct letter) + mail_from.len + mail_to.len + mail.len);
    char *to = (char *)(letter + 1);
    struct slice parts[] = {mail_from, mail_to, mail}, copies[COUNT_OF(parts)];
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        copies[i] = slice_of(to, parts[i].len);
        if (parts[i].len)
            memcpy(to, parts[i].ptr, parts[i].len);
        to += parts[i].len;
    }
    time_ms due = loop_now(courier->playground->loop) + in_ms;
    *letter = (struct letter){NULL, site, fate, due, due, copies[0], copies[1], copies[2]};
    queue_letter(courier, letter);
    tally_add(&courier->playground->tally.notices_waiting);
    if (!timer_is_set(&courier->timer) || courier->timer.due > due)
        timer_set(&courier->timer, in_ms);
}

struct courier *courier_new(struct playground *playground)
{
    struct courier *courier = NEW(struct courier);
    courier->playground = playground;
    courier->waiting_end = &courier->waiting;
    courier->roots = tls_roots_none();
    courier->tls = tls_client_new(courier->roots);
    timer_init(&courier->timer, playground->loop, on_timer, courier);
    return courier;
}

void courier_free(struct courier *courier)
{
    if (!courier)
        return;
    while (courier->trips)
        trip_free(courier->trips);
    timer_clear(&courier->timer);
    for (struct letter *letter = courier->waiting, *next; letter; letter = next) {
        next = letter->next;
        free(letter);
    }
    tls_client_free(courier->tls);
    tls_roots_free(courier->roots);
    free(courier);
}
