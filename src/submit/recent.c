#include "submit/recent.h"

#include "base/map.h"

struct recent_mails {
    _Atomic(struct recent_mail *) places[RECENT_PLACES];
    _Atomic size_t octets;
};

struct recent_mails *recent_mails_new(void)
{
    return NEW(struct recent_mails);
}

void recent_mail_free(struct recent_mail *mail)
{
    if (mail)
        shared_drop(mail->body);
    free(mail);
}

static _Atomic(struct recent_mail *) *place_of(struct recent_mails *recent, uint64_t id)
{
    return &recent->places[hash_u64(id, 0) % RECENT_PLACES];
}

/* Whoever was there is the caller's now. */
static struct recent_mail *swap(struct recent_mails *recent, _Atomic(struct recent_mail *) *place,
                                struct recent_mail *mail)
{
    if (mail)
        atomic_fetch_add_explicit(&recent->octets, mail->body->len, memory_order_relaxed);
    struct recent_mail *before = atomic_exchange_explicit(place, mail, memory_order_acq_rel);
    if (before)
        atomic_fetch_sub_explicit(&recent->octets, before->body->len, memory_order_relaxed);
    return before;
}

void recent_mails_free(struct recent_mails *recent)
{
    for (size_t i = 0; recent && i < RECENT_PLACES; i++)
        recent_mail_free(swap(recent, &recent->places[i], NULL));
    free(recent);
}

static struct recent_mail *mail_copy(const struct message *message)
{
    struct recent_mail *mail = memory_alloc(sizeof(*mail) + message->from_domain.len);
    char *domain = (char *)(mail + 1);
    if (message->from_domain.len)
        memcpy(domain, message->from_domain.ptr, message->from_domain.len);
    *mail = (struct recent_mail){
        .id = message->id,
        .body = shared_new(message->body.len),
        .flags = message->flags,
        .accepted = message->now,
        .recipients = message->recipients,
        .from_domain = slice_of(domain, message->from_domain.len),
    };
    memcpy(mail->body->bytes, message->body.ptr, message->body.len);
    return mail;
}

void recent_mails_keep(struct recent_mails *recent, const struct message *message)
{
    size_t len = message->body.len;
    if (!recent || !len || len > RECENT_LONGEST || message->due > message->now)
        return;
    _Atomic(struct recent_mail *) *place = place_of(recent, message->id);
    recent_mail_free(swap(recent, place, NULL));
    if (atomic_load_explicit(&recent->octets, memory_order_relaxed) + len <= RECENT_OCTETS)
        recent_mail_free(swap(recent, place, mail_copy(message)));
}

struct recent_mail *recent_mails_take(struct recent_mails *recent, uint64_t id)
{
    if (!recent)
        return NULL;
    _Atomic(struct recent_mail *) *place = place_of(recent, id);
    if (!atomic_load_explicit(place, memory_order_relaxed))
        return NULL;
    struct recent_mail *mail = swap(recent, place, NULL);
    if (!mail || mail->id == id)
        return mail;
    recent_mail_free(swap(recent, place, mail)); /* it was another's */
    return NULL;
}
