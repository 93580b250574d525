#include "api/sign_in.h"

#include "base/base64.h"
#include <assert.h>
#include <openssl/sha.h>

static void digest_of(struct slice id, unsigned char digest[SESSION_DIGEST])
{
    SHA256((const unsigned char *)id.ptr, id.len, digest);
}

static struct session *session_find(struct sessions *sessions, const unsigned char *digest)
{
    struct slice wanted = slice_of(digest, SESSION_DIGEST);
    for (unsigned i = 0; i < sessions->count; i++)
        if (slice_equal_constant_time(slice_of(sessions->list[i].digest, SESSION_DIGEST), wanted))
            return &sessions->list[i];
    return NULL;
}

static void session_drop(struct sessions *sessions, struct session *session)
{
    *session = sessions->list[--sessions->count];
}

static void drop_ended(struct sessions *sessions, time_ms now)
{
    for (unsigned i = 0; i < sessions->count;)
        if (sessions->list[i].until <= now)
            session_drop(sessions, &sessions->list[i]);
        else
            i++;
}

void session_begin(struct sessions *sessions, const struct world *world, uint64_t key_id, char id[SESSION_ID_TEXT])
{
    unsigned char bytes[32];
    time_ms now = world_monotonic(world);
    SCOPED(buf) text = BUF(64);
    drop_ended(sessions, now);
    if (sessions->count == SESSIONS_MOST) {
        struct session *oldest = sessions->list;
        for (unsigned i = 1; i < sessions->count; i++)
            if (sessions->list[i].until < oldest->until)
                oldest = &sessions->list[i];
        session_drop(sessions, oldest);
    }
    world_secret(world, bytes, sizeof(bytes));
    base64url_encode(&text, slice_of(bytes, sizeof(bytes)));
    assert(text.len == SESSION_ID_TEXT);
    memcpy(id, text.ptr, SESSION_ID_TEXT);
    struct session *session = &sessions->list[sessions->count++];
    digest_of(buf_slice(&text), session->digest);
    session->until = now + SESSION_LIFE;
    session->began = world_wall(world);
    session->key_id = key_id;
}

uint64_t session_key(struct sessions *sessions, const unsigned char *digest)
{
    struct session *session = session_find(sessions, digest);
    return session ? session->key_id : 0;
}

time_ms session_began(struct sessions *sessions, const unsigned char *digest)
{
    struct session *session = session_find(sessions, digest);
    return session ? session->began : 0;
}

bool session_lasts(struct sessions *sessions, const unsigned char *digest, time_ms now)
{
    struct session *session = session_find(sessions, digest);
    return session && session->until > now;
}

bool session_is_open(struct sessions *sessions, struct slice id, time_ms now, unsigned char *digest)
{
    unsigned char own[SESSION_DIGEST];
    if (id.len != SESSION_ID_TEXT)
        return false;
    digest_of(id, own);
    if (digest)
        memcpy(digest, own, SESSION_DIGEST);
    return session_lasts(sessions, own, now);
}

void session_end(struct sessions *sessions, struct slice id)
{
    unsigned char digest[SESSION_DIGEST];
    digest_of(id, digest);
    struct session *session = session_find(sessions, digest);
    if (session)
        session_drop(sessions, session);
}

/* ── the brake ── */

static struct ip network_of(const struct ip *ip)
{
    struct ip network = *ip;
    if (ip->family == 6)
        memset(network.bytes + 8, 0, 8);
    return network;
}

static time_ms refill_of(const struct limiter *limiter)
{
    return limiter->refill_ms ? limiter->refill_ms : LIMITER_REFILL_MS;
}

static unsigned burst_of(const struct limiter *limiter)
{
    return limiter->burst ? limiter->burst : LIMITER_BURST;
}

static void count_down(const struct limiter *limiter, struct limiter_row *row, time_ms now)
{
    if (!row->wrong || now < row->since)
        return;
    time_ms refilled = (now - row->since) / refill_of(limiter);
    row->wrong = refilled >= (time_ms)row->wrong ? 0 : row->wrong - (unsigned)refilled;
    row->since += refilled * refill_of(limiter);
}

static struct limiter_row *row_find(struct limiter *limiter, const struct ip *ip)
{
    struct ip network = network_of(ip);
    for (unsigned i = 0; i < LIMITER_ROOM; i++)
        if (limiter->rows[i].wrong && ip_equal(&limiter->rows[i].ip, &network))
            return &limiter->rows[i];
    return NULL;
}

bool limiter_permits(struct limiter *limiter, const struct ip *ip, time_ms now, unsigned *retry_after_s)
{
    struct limiter_row *row = row_find(limiter, ip);
    if (!row)
        return true;
    count_down(limiter, row, now);
    *retry_after_s = (unsigned)((row->since + refill_of(limiter) - now + 999) / 1000);
    return row->wrong < burst_of(limiter);
}

void limiter_was_wrong(struct limiter *limiter, const struct ip *ip, time_ms now)
{
    struct limiter_row *row = row_find(limiter, ip);
    if (!row) {
        row = limiter->rows;
        for (unsigned i = 0; i < LIMITER_ROOM && row->wrong; i++) {
            count_down(limiter, &limiter->rows[i], now);
            if (!limiter->rows[i].wrong || limiter->rows[i].since < row->since)
                row = &limiter->rows[i];
        }
        *row = (struct limiter_row){.ip = network_of(ip), .since = now};
    }
    count_down(limiter, row, now);
    if (!row->wrong)
        row->since = now;
    if (row->wrong < burst_of(limiter))
        row->wrong++;
}
