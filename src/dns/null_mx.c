#include "dns/null_mx.h"

#include "base/map.h"

enum { TTL_LEAST_S = 60, TTL_MOST_S = 3600 };

struct null_mx {
    struct loop *loop;
    struct dns_client *client;
    struct map domains; /* name -> struct heard */
    struct null_mx_question *open;
};
struct heard {
    bool is_published;
    time_ms until;
};
struct null_mx_question {
    struct null_mx *null_mx;
    struct null_mx_question *next, *before; /* of those that are open */
    char name[DNS_NAME_ROOM];
    struct dns_query *query;
    struct timer late;
    null_mx_told *told;
    void *owner;
};

struct null_mx *null_mx_new(struct loop *loop)
{
    struct null_mx *null_mx = NEW(struct null_mx);
    null_mx->loop = loop;
    null_mx->client = dns_client_new(loop);
    return null_mx;
}

static void forget_all(struct null_mx *null_mx)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&null_mx->domains, &at));)
        free(entry->value);
    map_release(&null_mx->domains);
    null_mx->domains = (struct map){0};
}

void null_mx_free(struct null_mx *null_mx)
{
    if (!null_mx)
        return;
    while (null_mx->open)
        null_mx_cancel(null_mx->open);
    dns_client_free(null_mx->client);
    forget_all(null_mx);
    free(null_mx);
}

enum null_mx_said null_mx_known(struct null_mx *null_mx, struct slice domain)
{
    char name[DNS_NAME_ROOM];
    bool is_asked = slice_find_byte(domain, '[') == SLICE_NPOS && loop_world(null_mx->loop)->resolver;
    if (!is_asked || !dns_name_normalise(domain, name) || !name[0])
        return NULL_MX_TAKES_MAIL;
    const struct heard *heard = map_get(&null_mx->domains, slice_str(name));
    if (!heard || loop_now(null_mx->loop) >= heard->until)
        return NULL_MX_NOT_KNOWN;
    return heard->is_published ? NULL_MX_PUBLISHED : NULL_MX_TAKES_MAIL;
}

static void remember(struct null_mx *null_mx, const char *name, bool is_published, uint32_t seconds)
{
    struct heard *heard = map_get(&null_mx->domains, slice_str(name));
    if (!heard) {
        if (null_mx->domains.count >= NULL_MX_MOST)
            forget_all(null_mx);
        heard = NEW(struct heard);
        map_set(&null_mx->domains, slice_str(name), heard);
    }
    seconds = seconds < TTL_LEAST_S ? TTL_LEAST_S : seconds > TTL_MOST_S ? TTL_MOST_S : seconds;
    *heard = (struct heard){is_published, loop_now(null_mx->loop) + (time_ms)seconds * 1000};
}

static void question_free(struct null_mx_question *question)
{
    *(question->before ? &question->before->next : &question->null_mx->open) = question->next;
    if (question->next)
        question->next->before = question->before;
    timer_clear(&question->late);
    free(question);
}

static void tell(struct null_mx_question *question, bool is_published, uint32_t seconds)
{
    null_mx_told *told = question->told;
    void *owner = question->owner;
    remember(question->null_mx, question->name, is_published, seconds);
    question_free(question);
    told(owner, is_published);
}

static void answered(void *owner, const struct dns_answer *answer)
{
    bool is_alone = answer->status == DNS_FOUND && answer->count == 1; /* beside others it means nothing (RFC 7505 3) */
    tell(owner, is_alone && answer->records[0].name.len == 0, answer->ttl_seconds);
}

static void is_late(struct timer *timer)
{
    struct null_mx_question *question = timer->owner;
    dns_cancel(question->query);
    tell(question, false, TTL_LEAST_S);
}

struct null_mx_question *null_mx_ask(struct null_mx *null_mx, struct slice domain, null_mx_told *told, void *owner)
{
    struct null_mx_question *question = NEW(struct null_mx_question);
    *question = (struct null_mx_question){.null_mx = null_mx, .next = null_mx->open, .told = told, .owner = owner};
    if (question->next)
        question->next->before = question;
    null_mx->open = question;
    if (!dns_name_normalise(domain, question->name))
        question->name[0] = '\0';
    timer_init(&question->late, null_mx->loop, is_late, question);
    timer_set(&question->late, NULL_MX_ASK_MS);
    question->query = dns_ask(null_mx->client, slice_str(question->name), DNS_MX, answered, question);
    return question;
}

void null_mx_cancel(struct null_mx_question *question)
{
    if (!question)
        return;
    dns_cancel(question->query);
    question_free(question);
}
