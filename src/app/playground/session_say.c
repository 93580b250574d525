#include "app/playground/session.h"

#include "mime/read.h"

struct slice session_domain_of(struct slice address)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    return at < 0 ? SLICE("") : slice_from(address, (size_t)at + 1);
}

struct slice session_say(struct session *session, const char *text, const struct recipient *recipient)
{
    char ip[IP_TEXT_ROOM];
    const struct auth_answer *checked = &session->checked;
    unsigned long long id = playground_id(session->playground) * 0x9e3779b97f4a7c15ull;
    const struct {
        struct slice name, value;
    } words[] = {
        {SLICE("{to}"), recipient ? recipient->address : SLICE("")},
        {SLICE("{domain}"), recipient ? recipient->domain : SLICE("")},
        {SLICE("{ip}"), slice_str(ip_text(&session->peer, ip))},
        {SLICE("{from}"), session_domain_of(session->mail_from)},
        {SLICE("{author}"), slice_str(checked->author_domain)},
        {SLICE("{host}"), slice_str(session->site->host)},
        {SLICE("{spf}"), slice_str(checked->spf ? checked->spf : "none")},
        {SLICE("{dkim}"), slice_str(checked->dkim ? checked->dkim : "none")},
        {SLICE("{dmarc}"), slice_str(checked->dmarc ? checked->dmarc : "none")},
        {SLICE("{id}"), arena_printf(&session->arena, "%012llx", id >> 16)},
    };
    SCOPED(buf) out = BUF(4096);
    struct slice rest = slice_str(text);
    while (rest.len) {
        bool is_word = false;
        for (size_t i = 0; *rest.ptr == '{' && !is_word && i < COUNT_OF(words); i++) {
            if (slice_starts(rest, words[i].name)) {
                buf_append(&out, words[i].value);
                rest = slice_from(rest, words[i].name.len);
                is_word = true;
            }
        }
        if (!is_word) {
            buf_byte(&out, *rest.ptr);
            rest = slice_from(rest, 1);
        }
    }
    return arena_copy(&session->arena, buf_slice(&out));
}

static struct slice message_id_of(const struct session *session)
{
    struct arena arena = {NULL};
    struct mime_mail read;
    if (session->body.len == 0)
        return SLICE("");
    mime_read_head(buf_slice(&session->body), &arena, &read);
    struct slice id = mime_header(&read, 0, SLICE("Message-ID")); /* a slice of the body */
    arena_release(&arena);
    return id;
}

static int code_of(struct slice reply)
{
    uint64_t code;
    return slice_to_u64(slice_head(reply, 3), &code) ? (int)code : 0;
}

void session_count(struct session *session, enum fate fate, int code, struct slice address)
{
    struct playground_tally *tally = &session->playground->tally;
    tally_add(&tally->fate[fate]);
    tally_add(code < 400 ? &tally->accepted : code < 500 ? &tally->refused_for_now : &tally->refused_forever);
    playground_note(session->playground, code < 400 ? "taken" : "refused", fate, code, session->site->host, address,
                    session->playground->ledger ? message_id_of(session) : SLICE(""));
}

void session_answer(struct session *session, struct slice reply)
{
    smtp_server_answer(conversation_server(session->conversation), reply);
}

void session_accept(struct session *session)
{
    smtp_server_accept(conversation_server(session->conversation));
}

void session_refuse(struct session *session, const char *text, enum fate fate, const struct recipient *only)
{
    const struct recipient *who = only ? only : session->recipient_count ? &session->recipients[0] : NULL;
    struct slice reply = session_say(session, text, who);
    if (only || session->recipient_count == 0)
        session_count(session, fate, code_of(reply), who ? who->address : SLICE(""));
    else
        for (size_t i = 0; i < session->recipient_count; i++)
            session_count(session, fate, code_of(reply), session->recipients[i].address);
    session_answer(session, reply);
}

void session_forget(struct session *session)
{
    auth_cancel(session->auth);
    if (session->query)
        dns_cancel(session->query);
    session->auth = NULL;
    session->query = NULL;
    session->recipient_count = 0;
    session->mail_from = SLICE("");
    session->checked = (struct auth_answer){NULL};
    buf_reset(&session->body);
    arena_reset(&session->arena);
}

bool site_is(const struct site *site, enum fate fate)
{
    return site->mix[0].fate == fate && site->mix[0].per_10000 == 10000;
}

const char *session_text(const struct session *session, enum fate fate, enum stage stage, uint64_t pick)
{
    const struct site_reply *row = site_reply_find(session->site->voice, fate, pick);
    return row && row->stage == stage ? row->text : NULL;
}
