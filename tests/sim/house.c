#include "sim/house.h"

#include "base/map.h"
#include "base/memory.h"
#include "dns/zone.h"
#include "sim/wire.h"
#include "smtp/server.h"
#include <stdio.h>

enum { UNKNOWN_PERCENT = 3, THINK_TIMEOUT_S = 300, LINGER_MS = 5000 };

/* One connection at its host. */
struct visit {
    struct house *house;
    struct site_host *site;
    struct stream *stream;
    struct smtp_server *server;
    struct timer think;
    size_t people[TOGETHER_MOST]; /* of the transaction */
    size_t count;
    unsigned messages;
    int resets_at; /* enum smtp_server_what of the event at which it resets; -1: never */
    bool drops, is_over, is_reset, is_frozen, is_pumping;
};

enum traced { TRACE_VISIT = 1, TRACE_TAKEN, TRACE_REFUSED, TRACE_RESET, TRACE_DROPPED };

void house_trace(struct house *house, uint64_t what, uint64_t which)
{
    uint64_t at = (uint64_t)world_monotonic(house->world);
    house->trace = hash_u64(house->trace ^ at << 20 ^ what << 56 ^ which, 1);
}

static time_ms now(const struct house *house)
{
    return world_monotonic(house->world);
}

static bool falls(struct house *house, unsigned permille)
{
    return permille && random_below(&house->chance, 1000) < permille;
}

/* `most` things never come in less than a period: how short a time did `most` + 1 take? */
static void look_at_window(time_ms *at, uint64_t number, unsigned most, time_ms now, time_ms *shortest)
{
    if (number >= most) {
        time_ms took = now - at[(number - most) % WINDOW];
        if (!*shortest || took < *shortest)
            *shortest = took ? took : 1;
    }
    at[number % WINDOW] = now;
}

/* ── what a host decides ── */

static bool is_storm(const struct site_host *site, time_ms at)
{
    return site->storm_every && at % site->storm_every < site->storm_length;
}

/* A bad name narrows the rate. */
static bool is_too_fast(struct house *house, struct site_host *site)
{
    if (site->rate <= 0)
        return false;
    if (house->doubles_at && now(house) >= house->doubles_at) {
        house->doubles_at = 0;
        site->rate *= 2;
    }
    double rate = site->rate * (site->reputation > 0.2 ? site->reputation : 0.2), most = rate * 2 > 2 ? rate * 2 : 2;
    site->tokens += rate * (double)(now(house) - site->tokens_at) / 1000.0;
    site->tokens_at = now(house);
    if (site->tokens > most)
        site->tokens = most;
    if (site->tokens >= 1) {
        site->tokens -= 1;
        return false;
    }
    site->slowed++;
    if (!site->first_slowed)
        site->first_slowed = now(house);
    return true;
}

static void refuse(struct visit *visit, const char *text)
{
    visit->house->refused++;
    house_trace(visit->house, TRACE_REFUSED, visit->site->number);
    smtp_server_answer(visit->server, slice_str(text));
}

static void take_one(struct visit *visit, size_t number)
{
    struct house *house = visit->house;
    struct site_host *site = visit->site;
    struct person *person = &house->people[number];
    house_trace(house, TRACE_TAKEN, number);
    house->taken++;
    if (house->is_narrow && now(house) < MINUTES_MS(NARROW_MINUTES))
        house->taken_in_minute[now(house) / MINUTES_MS(1)]++;
    house->twice += person->taken > 0;
    person->taken++;
    site->taken++;
    if (house->others && site->number < HOSTILE_FROM) {
        house->others_taken++;
        if (house->others_taken * 10 == house->others)
            house->others_from = now(house);
        if (house->others_taken * 10 / 9 == house->others)
            house->others_until = now(house);
    }
    site->last_taken = now(house);
    site->taken_when_capped += site->first_slowed && now(house) >= site->first_slowed + CONVERGED_MS;
    visit->messages++;
    if (visit->messages > site->session_most)
        site->session_most = visit->messages;
    if (site->reputation < 1)
        site->reputation += 0.002;
}

static void take(struct visit *visit)
{
    for (size_t i = 0; i < visit->count; i++)
        take_one(visit, visit->people[i]);
}

/* A turn of the pace has come here. */
static void came(struct visit *visit)
{
    struct site_host *site = visit->site;
    look_at_window(site->mailed_at, site->mailed++, visit->house->window_mailed, now(visit->house),
                   &site->shortest_mailed);
}

static void on_recipient(struct visit *visit, struct slice address)
{
    struct house *house = visit->house;
    struct site_host *site = visit->site;
    size_t number = house_person(house, address);
    if (number == SIZE_MAX)
        return refuse(visit, "550 5.1.2 this is not ours");
    if (visit->count == TOGETHER_MOST || (site->recipients && visit->count >= site->recipients))
        return refuse(visit, "452 4.5.3 too many recipients");
    if (house->is_together)
        came(visit);
    struct person *person = &house->people[number];
    if (person->is_unknown) {
        site->unknown++;
        site->reputation *= 0.98;
        return refuse(visit, "550 5.1.1 User unknown");
    }
    if (site->greylist && (!person->seen_at || now(house) < person->seen_at + site->greylist)) {
        if (!person->seen_at)
            person->seen_at = now(house);
        return refuse(visit, "451 4.7.1 Greylisted, please try again in some minutes");
    }
    visit->people[visit->count++] = number;
    smtp_server_accept(visit->server);
}

static void on_mail(struct visit *visit)
{
    struct site_host *site = visit->site;
    visit->count = 0;
    if (!visit->house->is_together)
        came(visit);
    if (site->messages && visit->messages >= site->messages)
        return refuse(visit, "421 4.7.0 enough for this connection");
    if (is_too_fast(visit->house, site))
        return refuse(visit, "421 4.7.0 you are sending too fast, try again later");
    smtp_server_accept(visit->server);
}

static void on_message(struct visit *visit)
{
    struct house *house = visit->house;
    if (visit->drops || falls(house, visit->site->drop_permille)) { /* taken, and the sender is never told */
        take(visit);
        house_trace(house, TRACE_DROPPED, visit->people[0]);
        visit->is_over = visit->is_reset = true;
    } else if (visit->site->think) {
        timer_set(&visit->think, visit->site->think);
    } else {
        take(visit);
        smtp_server_accept(visit->server);
    }
}

static void on_connect(struct visit *visit)
{
    struct site_host *site = visit->site;
    time_ms at = now(visit->house);
    if (site->is_silent || (site->is_silent_at_times && falls(visit->house, 200)))
        visit->is_frozen = true;
    else if (is_storm(site, at))
        refuse(visit, "421 4.3.2 Service not available, try again later");
    else if (site->connections && site->open > site->connections)
        refuse(visit, "421 4.7.0 too many connections from you");
    else
        smtp_server_accept(visit->server);
}

static void answer(struct visit *visit, const struct smtp_server_event *event)
{
    if ((int)event->what == visit->resets_at && event->is_question) {
        house_trace(visit->house, TRACE_RESET, visit->site->number);
        visit->is_over = visit->is_reset = true;
        return;
    }
    switch (event->what) {
    case SMTP_SERVER_CONNECT: on_connect(visit); break;
    case SMTP_SERVER_MAIL: on_mail(visit); break;
    case SMTP_SERVER_RCPT: on_recipient(visit, event->path->address); break;
    case SMTP_SERVER_MESSAGE: on_message(visit); break;
    case SMTP_SERVER_EHLO:
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_SCRAM:
    case SMTP_SERVER_AUTH:
    case SMTP_SERVER_DATA: smtp_server_accept(visit->server); break;
    case SMTP_SERVER_BODY:
    case SMTP_SERVER_RESET:
    case SMTP_SERVER_TLS_BEGIN: break;
    case SMTP_SERVER_CLOSE: visit->is_over = true; break;
    }
}

/* ── the connection ── */

static void visit_end(struct visit *visit)
{
    if (visit->stream && visit->is_reset)
        wire_reset(visit->stream);
    else if (visit->stream)
        stream_leave(visit->stream, LINGER_MS);
    timer_clear(&visit->think);
    visit->site->open--;
    smtp_server_free(visit->server);
    free(visit);
}

/* False: the visit is over and gone. */
static bool pump(struct visit *visit, struct slice *received)
{
    struct smtp_server_event event;
    bool goes_on = true;
    while (goes_on && !visit->is_over && !visit->is_frozen) {
        size_t before = received->len;
        bool has_told = false;
        while (!visit->is_over && !visit->is_frozen && smtp_server_next(visit->server, received, &event)) {
            has_told = true;
            answer(visit, &event);
        }
        bool has_output = smtp_server_has_output(visit->server) && !visit->is_reset && !visit->is_frozen;
        if (has_output) {
            smtp_server_write(visit->server, stream_out(visit->stream));
            stream_flush_soon(visit->stream);
        }
        goes_on = !smtp_server_is_asking(visit->server) && received->len &&
                  (has_output || has_told || received->len != before);
    }
    if (visit->is_over) {
        visit_end(visit);
        return false;
    }
    stream_deadline(visit->stream, SECONDS_MS(THINK_TIMEOUT_S), "the sender");
    return true;
}

static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct visit *visit = owner;
    struct slice rest = bytes;
    if (visit->is_frozen)
        return bytes.len;
    return pump(visit, &rest) ? bytes.len - rest.len : bytes.len;
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct visit *visit = owner;
    visit->stream = NULL;
    visit_end(visit);
}

static const struct stream_events events = {.on_bytes = on_bytes, .on_closed = on_closed};

static void on_think(struct timer *timer)
{
    struct visit *visit = timer->owner;
    struct slice nothing = SLICE("");
    take(visit);
    smtp_server_accept(visit->server);
    struct stream *stream = visit->stream;
    if (pump(visit, &nothing))
        stream_resume(stream);
}

/* ── the network ── */

static struct site_host *site_at(struct house *house, const struct ip *ip)
{
    unsigned number = ip->bytes[2];
    return ip->bytes[0] == 127 && ip->bytes[1] == 30 && number < SITES ? &house->sites[number] : NULL;
}

static void asked(void *self, struct wire *wire, const struct endpoint *to)
{
    struct house *house = self;
    struct site_host *site = site_at(house, &to->ip);
    if (!site || to->ip.bytes[3] == 9) /* the first MX of some: nobody listens */
        return wire_refuse(wire);
    if (now(house) < site->away_until) {
        if (!site->is_deaf_when_away)
            wire_refuse(wire);
        return;
    }
    static const int stages[] = {SMTP_SERVER_CONNECT, SMTP_SERVER_EHLO, SMTP_SERVER_MAIL,
                                 SMTP_SERVER_RCPT,    SMTP_SERVER_DATA, SMTP_SERVER_MESSAGE};
    const struct smtp_server_settings settings = {
        .host_name = SLICE("mx.example"), .is_lenient = true, .errors_max = 1000};
    struct visit *visit = NEW(struct visit);
    visit->house = house;
    visit->site = site;
    visit->resets_at = falls(house, site->reset_permille) ? stages[random_below(&house->chance, COUNT_OF(stages))] : -1;
    visit->server = smtp_server_new(&settings);
    visit->stream = wire_accept(wire, &events, visit);
    if (site->each_byte)
        wire_slow(visit->stream, site->each_byte);
    timer_init(&visit->think, wire_loop(wire), on_think, visit);
    house_trace(house, TRACE_VISIT, site->number);
    house->visits++;
    look_at_window(site->opened_at, site->connected++, house->window_opened, now(house), &site->shortest_opened);
    if (++site->open > site->open_most)
        site->open_most = site->open;
    struct slice nothing = SLICE("");
    pump(visit, &nothing);
}

static time_ms latency(void *self, const struct endpoint *to)
{
    struct site_host *site = site_at(self, &to->ip);
    return site ? site->latency : 20;
}

/* ── opening ── */

static time_ms between(struct random *random, time_ms least, time_ms most)
{
    return least + (time_ms)random_below(random, (uint64_t)(most - least + 1));
}

static void draw_site(struct house *house, struct site_host *site)
{
    struct random *chance = &house->chance;
    site->latency = between(chance, 2, 150);
    site->think = falls(house, 700) ? between(chance, 1, 400) : 0;
    site->reputation = 1;
    if (falls(house, 200))
        site->rate = 0.5 + random_unit(chance) * 15;
    if (falls(house, 150))
        site->connections = 1 + (unsigned)random_below(chance, 8);
    if (falls(house, 100))
        site->messages = 1 + (unsigned)random_below(chance, 50);
    if (falls(house, 150))
        site->greylist = MINUTES_MS(between(chance, 1, 10));
    if (falls(house, 80)) {
        site->storm_every = MINUTES_MS(between(chance, 20, 90));
        site->storm_length = MINUTES_MS(between(chance, 2, 10));
    }
    if (falls(house, 80))
        site->reset_permille = 20 + (unsigned)random_below(chance, 100);
    if (falls(house, 80))
        site->drop_permille = 2 + (unsigned)random_below(chance, 20);
    if (falls(house, 40))
        site->each_byte = between(chance, 5, 100);
    if (falls(house, 40))
        site->away_until = MINUTES_MS(between(chance, 5, 180));
    site->is_deaf_when_away = falls(house, 500);
    site->is_silent_at_times = falls(house, 30);
}

static struct resolver *resolver_of(struct house *house)
{
    struct fault why;
    SCOPED(buf) zone = BUF(1 << 20);
    buf_byte(&zone, '{');
    for (unsigned i = 0; i < SITES; i++) {
        bool has_dead_first = falls(house, 50);
        buf_printf(&zone, "%s\"s%03u.example\":{\"MX\":[[10,\"%s.s%03u.example\"],[20,\"b.s%03u.example\"]]},",
                   i ? "," : "", i, has_dead_first ? "dead" : "a", i, i);
        buf_printf(&zone,
                   "\"dead.s%03u.example\":{\"A\":[\"127.30.%u.9\"]},\"a.s%03u.example\":{\"A\":[\"127.30.%u.1\"]},"
                   "\"b.s%03u.example\":{\"A\":[\"127.30.%u.2\"]}",
                   i, i, i, i, i, i);
    }
    buf_byte(&zone, '}');
    struct resolver *resolver = zone_resolver_of_json(buf_slice(&zone), &why);
    if (!resolver) {
        fprintf(stderr, "sim: %s\n", why.text);
        abort();
    }
    return resolver;
}

void house_open(struct house *house, struct world *world, uint64_t seed, size_t people)
{
    static struct wire_house network = {.asked = asked, .latency = latency};
    *house = (struct house){.world = world, .count = people, .window_opened = WINDOW, .window_mailed = WINDOW};
    random_seed(&house->chance, seed);
    for (unsigned i = 0; i < SITES; i++) {
        house->sites[i].number = i;
        draw_site(house, &house->sites[i]);
    }
    house->people = NEW_ARRAY(struct person, people);
    for (size_t i = 0; i < people; i++) { /* a few great sites, many small ones */
        double share = random_unit(&house->chance);
        house->people[i].site = (unsigned char)(share * share * SITES);
        house->people[i].is_unknown = random_below(&house->chance, 100) < UNKNOWN_PERCENT;
    }
    network.self = house;
    wire_network(world, &network);
    world->resolver = resolver_of(house);
}

void house_narrow(struct house *house)
{
    house->is_narrow = true;
    house->sites[0] =
        (struct site_host){.latency = 20, .think = 50, .reputation = 1, .rate = 3 + random_unit(&house->chance) * 5};
    house->doubles_at = MINUTES_MS(NARROW_DOUBLES_MIN);
    for (size_t i = 0; i < house->count; i++)
        house->people[i] = (struct person){0};
}

void house_hostile(struct house *house, bool is_hostile)
{
    for (unsigned i = 0; i < HOSTILE_SITES; i++)
        house->sites[i] = (struct site_host){.number = i, .latency = 20, .think = 60, .reputation = 1};
    if (is_hostile) {
        house->sites[HOSTILE_FROM].is_silent = true;
        house->sites[HOSTILE_FROM + 1].each_byte = 1000;
        house->sites[HOSTILE_FROM + 2].reset_permille = 1000;
        house->sites[HOSTILE_FROM + 3].drop_permille = 1000;
    }
    for (size_t i = 0; i < house->count; i++) {
        house->people[i] = (struct person){.site = (unsigned char)(i % HOSTILE_SITES)};
        house->others += house->people[i].site < HOSTILE_FROM;
    }
    house->others -= house->others % 10; /* so that a tenth is a number */
}

void house_together(struct house *house)
{
    house->is_together = true;
    for (unsigned i = 0; i < SITES; i++)
        if (falls(house, 300))
            house->sites[i].recipients = 1 + (unsigned)random_below(&house->chance, TOGETHER_MOST - 1);
}

void house_close(struct house *house)
{
    resolver_free(house->world->resolver);
    free(house->people);
}

void house_address(const struct house *house, size_t person, char to[40])
{
    const struct person *who = &house->people[person];
    snprintf(to, 40, "%c%zu@s%03u.example", who->is_unknown ? 'u' : 'p', person, who->site);
}

size_t house_person(const struct house *house, struct slice address)
{
    uint64_t number;
    ptrdiff_t at = slice_find_byte(address, '@');
    char whole[40];
    if (at < 2 || !slice_to_u64(slice_of(address.ptr + 1, (size_t)at - 1), &number) || number >= house->count)
        return SIZE_MAX;
    house_address(house, number, whole);
    return slice_equal(address, slice_str(whole)) ? (size_t)number : SIZE_MAX;
}
