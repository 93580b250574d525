/* client.c - the client's life and its events; see client.h for the contract
 *
 *   BANNER -220-> EHLO -250-> [STARTTLS -220-> TLS -tls_done-> EHLO] -> [AUTH -235->] READY -> OVER
 *                   +-5xx-> HELO -250-> READY
 *
 * In READY up to two transactions are under way; replies belong to the first until its last reply is read, bytes are
 * written for the second only when the first's dot is out. Always true: a recipient is told once; MESSAGE comes after
 * its recipients, OVER after every MESSAGE. client_over() is the only way into OVER. */
#include "smtp/client_state.h"

#include <assert.h>

struct smtp_client *smtp_client_new(const struct smtp_client_settings *settings)
{
    static const struct smtp_client_timeouts standard = {.banner = SECONDS_MS(300),
                                                         .ehlo = SECONDS_MS(300),
                                                         .starttls = SECONDS_MS(120),
                                                         .auth = SECONDS_MS(300),
                                                         .mail = SECONDS_MS(300),
                                                         .rcpt = SECONDS_MS(300),
                                                         .data = SECONDS_MS(120),
                                                         .block = SECONDS_MS(180),
                                                         .dot = SECONDS_MS(600),
                                                         .rset = SECONDS_MS(20),
                                                         .opening = SECONDS_MS(600),
                                                         .message = SECONDS_MS(900)};
    struct smtp_client *client = NEW(struct smtp_client);
    client->is = *settings;
    client->is.ehlo_name = arena_copy(&client->arena, settings->ehlo_name);
    client->is.user = arena_copy(&client->arena, settings->user);
    client->is.password = arena_copy(&client->arena, settings->password);
    client->is.scram_nonce = arena_copy(&client->arena, settings->scram_nonce);
    buf_init(&client->auth_answer, SCRAM_CLIENT_TEXT_MAX);
    time_ms *mine = (time_ms *)&client->is.timeout;
    const time_ms *theirs = (const time_ms *)&standard;
    for (size_t i = 0; i < sizeof(standard) / sizeof(time_ms); i++)
        if (mine[i] == 0)
            mine[i] = theirs[i];
    client->has_tls = settings->is_tls_already;
    client->tls_is_verified = settings->is_tls_already && settings->is_tls_verified;
    reply_reader_init(&client->reader);
    buf_init(&client->over_text, SMTP_REPLY_TEXT_MAX);
    buf_init(&client->refusal_text, SMTP_REPLY_TEXT_MAX);
    return client;
}

void smtp_client_free(struct smtp_client *client)
{
    if (!client)
        return;
    if (client->is.password.len)
        explicit_bzero((char *)(uintptr_t)client->is.password.ptr, client->is.password.len);
    arena_release(&client->arena);
    reply_reader_release(&client->reader);
    scram_client_release(&client->scram);
    buf_release(&client->auth_answer);
    buf_release(&client->over_text);
    buf_release(&client->refusal_text);
    free(client->slots[0].recipients);
    free(client->slots[1].recipients);
    free(client);
}

/* ---- the end ---- */

/* It ends without a word: then what was refused before is what the host has said. That it does not know a command is no
 * refusal of us, so its code does not count, and the end is told with it. */
static void refusal_counts(const struct smtp_client *client, enum stage *stage, struct reply *reply, struct buf *text)
{
    const struct reply *before = &client->refusal;
    *stage = client->refused_at;
    bool is_unknown_command = client->refused_at == STAGE_EHLO && before->code >= 500 && before->code <= 504;
    if (!is_unknown_command) {
        *reply = *before;
        return;
    }
    buf_printf(text, "EHLO: %d %.*s; HELO: %.*s", before->code, SLICE_ARG(slice_head(before->text, 1024)),
               SLICE_ARG(slice_head(reply->text, 1024)));
    *reply = (struct reply){.text = buf_slice(text)};
}

void client_over(struct smtp_client *client, enum smtp_over how, enum stage stage, const struct reply *reply)
{
    if (client->phase == CLIENT_OVER)
        return;
    SCOPED(buf) text = BUF(SMTP_REPLY_TEXT_MAX);
    struct reply last = *reply;
    if (last.code == 0 && how != SMTP_OVER_QUIT && client->refusal.code)
        refusal_counts(client, &stage, &last, &text);
    /* Inside a message QUIT would be text of it; a 421 is leaving anyway; who is gone hears nothing. */
    bool is_between = client->count == 0 && client->phase != CLIENT_TLS && client->phase != CLIENT_BANNER;
    client->owes_quit =
        is_between && (how == SMTP_OVER_QUIT || how == SMTP_OVER_TLS || how == SMTP_OVER_REPLY) && last.code != 421;
    client->phase = CLIENT_OVER;
    client->owes = OWES_NOTHING;
    client->over_how = how;
    client->over_stage = stage;
    buf_reset(&client->over_text);
    buf_append(&client->over_text, slice_head(last.text, client->over_text.limit));
    client->over_reply = last;
    client->over_reply.text = buf_slice(&client->over_text);
    client->step++;
}

void client_over_text(struct smtp_client *client, enum smtp_over how, enum stage stage, const char *text)
{
    struct reply reply = {.text = slice_str(text)};
    client_over(client, how, stage, &reply);
}

void smtp_client_closed(struct smtp_client *client, struct slice why)
{
    struct reply reply = {.text = why};
    client_over(client, SMTP_OVER_CLOSED, smtp_client_stage(client), &reply);
}

void smtp_client_quit(struct smtp_client *client)
{
    client->wants_quit = true;
    if (client->phase != CLIENT_READY || client->count == 0)
        client_over_text(client, SMTP_OVER_QUIT, STAGE_UNKNOWN, "");
}

/* ---- events ---- */

static void transaction_finish(struct smtp_client *client)
{
    client->first ^= 1;
    client->count--;
    client->step++;
    client->span++;
    if (client->wants_quit && client->count == 0)
        client_over_text(client, SMTP_OVER_QUIT, STAGE_UNKNOWN, "");
}

static bool tell_next(struct smtp_client *client, struct smtp_client_event *event)
{
    struct telling *telling = &client->telling;
    if (!telling->is_on)
        return false;
    struct transaction *tx = client_tx(client, 0);
    event->message = &tx->message;
    event->outcome = telling->outcome;
    event->stage = telling->stage;
    event->reply = telling->reply;
    while (telling->next < telling->to) {
        size_t index = telling->next++;
        if (tx->recipients[index] == RECIPIENT_TOLD)
            continue;
        tx->recipients[index] = RECIPIENT_TOLD;
        event->what = SMTP_CLIENT_RECIPIENT;
        if (index >= tx->rcpt_count && telling->outcome != SMTP_UNSENT && telling->stage != STAGE_MAIL) {
            event->outcome = SMTP_AGAIN; /* never asked for: beyond RCPTMAX */
            event->stage = STAGE_RCPT;
            event->reply = (struct reply){0};
        }
        event->index = index;
        return true;
    }
    telling->is_on = false;
    if (!telling->ends_message)
        return false;
    event->what = SMTP_CLIENT_MESSAGE;
    transaction_finish(client);
    return true;
}

/* The conversation is over: tell the recipients of the first message that is left. */
static void tell_the_end(struct smtp_client *client)
{
    struct transaction *tx = client_tx(client, 0);
    bool is_doubt = dot_is_written(tx) && !tx->is_lonely;
    client->telling = (struct telling){
        .is_on = true,
        .ends_message = true,
        .outcome = is_doubt ? SMTP_IN_DOUBT : SMTP_UNSENT,
        .stage = is_doubt ? STAGE_DOT : client->over_stage,
        .reply = client->over_reply,
        .to = tx->message.recipient_count,
    };
}

static bool owed_event(struct smtp_client *client, struct smtp_client_event *event)
{
    static const enum smtp_client_what whats[] = {[OWES_GREETED] = SMTP_CLIENT_GREETED,
                                                  [OWES_WANT_TLS] = SMTP_CLIENT_WANT_TLS,
                                                  [OWES_READY] = SMTP_CLIENT_READY,
                                                  [OWES_WANT_DOT] = SMTP_CLIENT_WANT_DOT};
    if (client->owes == OWES_NOTHING)
        return false;
    event->what = whats[client->owes];
    event->reply = client->owed_reply;
    event->stage = smtp_client_stage(client);
    if (client->owes == OWES_WANT_DOT)
        event->message = &client_tx(client, 0)->message;
    client->owes = OWES_NOTHING;
    return true;
}

bool smtp_client_next(struct smtp_client *client, struct slice *received, struct smtp_client_event *event)
{
    *event = (struct smtp_client_event){0};
    for (;;) {
        if (tell_next(client, event) || owed_event(client, event))
            return true;
        if (client->phase == CLIENT_OVER) {
            *received = slice_of(NULL, 0);
            if (client->count) {
                tell_the_end(client);
                continue;
            }
            if (client->is_over_told)
                return false;
            client->is_over_told = true;
            *event = (struct smtp_client_event){.what = SMTP_CLIENT_OVER,
                                                .how = client->over_how,
                                                .stage = client->over_stage,
                                                .reply = client->over_reply};
            return true;
        }
        if (received->len && client->phase == CLIENT_TLS) {
            client_over_text(client, SMTP_OVER_TLS, STAGE_STARTTLS, "bytes in clear behind the reply to STARTTLS");
            continue;
        }
        struct reply reply;
        bool is_ehlo = client->phase == CLIENT_EHLO && !client->owes_command;
        switch (reply_read(&client->reader, received, is_ehlo ? &client->can : NULL, &reply)) {
        case REPLY_MORE: return false;
        case REPLY_WHOLE: client_take_reply(client, &reply); break;
        case REPLY_BROKEN:
            client_over_text(client, SMTP_OVER_PROTOCOL, smtp_client_stage(client), client->reader.wrong);
        }
    }
}

/* ---- what the owner says and asks ---- */

void smtp_client_tls_done(struct smtp_client *client, bool is_up, bool is_verified)
{
    if (client->phase != CLIENT_TLS)
        return;
    if (!is_up) {
        client_over_text(client, SMTP_OVER_TLS, STAGE_STARTTLS, "the TLS handshake failed");
        return;
    }
    client->has_tls = true;
    client->tls_is_verified = is_verified;
    client->can = (struct smtp_capabilities){0};
    client->phase = CLIENT_EHLO;
    client->owes_command = true;
    client->step++;
}

/* An address that can stand between < and >. */
static bool address_is_safe(struct slice address, bool *needs_smtputf8)
{
    bool is_quoted = false;
    if (address.len > 254)
        return false;
    for (size_t i = 0; i < address.len; i++) {
        unsigned char c = (unsigned char)address.ptr[i];
        if (c >= 0x80)
            *needs_smtputf8 = true;
        if (c < 0x20 || c == 0x7f)
            return false;
        if (is_quoted && c == '\\' && i + 1 < address.len && (unsigned char)address.ptr[i + 1] >= 0x20)
            i++;
        else if (c == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (c == ' ' || c == '<' || c == '>' || c == '\\'))
            return false;
    }
    return !is_quoted;
}

static uint64_t message_size(const struct smtp_message *message)
{
    uint64_t size = message->size;
    if (size == 0)
        for (size_t i = 0; i < message->body_count; i++)
            size += message->body[i].len;
    return size;
}

enum smtp_fit smtp_client_fits(const struct smtp_client *client, const struct smtp_message *message)
{
    const struct smtp_capabilities *can = &client->can;
    bool needs_smtputf8 = message->needs_smtputf8;
    if (!address_is_safe(message->mail_from, &needs_smtputf8))
        return SMTP_FIT_BAD_ADDRESS;
    for (size_t i = 0; i < message->recipient_count; i++)
        if (message->recipients[i].len == 0 || !address_is_safe(message->recipients[i], &needs_smtputf8))
            return SMTP_FIT_BAD_ADDRESS;
    if (needs_smtputf8 && !can->smtputf8)
        return SMTP_FIT_NO_SMTPUTF8;
    if (message->needs_8bit && !can->eight_bit)
        return SMTP_FIT_NO_8BITMIME;
    if (can->size_max && message_size(message) > can->size_max)
        return SMTP_FIT_TOO_BIG;
    return SMTP_FITS;
}

struct reply smtp_fit_reply(enum smtp_fit fit)
{
    switch (fit) {
    case SMTP_FITS: break;
    case SMTP_FIT_TOO_BIG:
        return (struct reply){552, {5, 3, 4}, SLICE("the message is larger than this host's SIZE allows")};
    case SMTP_FIT_NO_8BITMIME:
        return (struct reply){554, {5, 6, 3}, SLICE("the message is 8-bit and this host has no 8BITMIME")};
    case SMTP_FIT_NO_SMTPUTF8:
        return (struct reply){550, {5, 6, 7}, SLICE("the address needs SMTPUTF8, which this host has not")};
    case SMTP_FIT_BAD_ADDRESS:
        return (struct reply){553, {5, 1, 3}, SLICE("the address cannot be written in an SMTP command")};
    }
    return (struct reply){0};
}

bool client_pipelines(const struct smtp_client *client)
{
    return client->can.pipelining && !client->is.no_pipelining;
}

bool smtp_client_has_room(const struct smtp_client *client)
{
    if (client->phase != CLIENT_READY || client->wants_quit || client->owes == OWES_READY)
        return false;
    if (client->can.mail_max && client->messages >= client->can.mail_max)
        return false;
    if (client->count == 0)
        return true;
    /* The MESSAGE of the first need not be told yet, but its dot must be out: what follows then is a new group. */
    return client->count == 1 && client_pipelines(client) && !client->telling.is_on &&
           dot_is_written(&client->slots[client->first]);
}

bool smtp_client_is_idle(const struct smtp_client *client)
{
    return client->count == 0;
}

enum smtp_fit smtp_client_send(struct smtp_client *client, const struct smtp_message *message)
{
    assert(message->recipient_count >= 1 && message->recipient_count <= SMTP_CLIENT_RECIPIENTS);
    assert(smtp_client_has_room(client));
    enum smtp_fit fit = smtp_client_fits(client, message);
    if (fit != SMTP_FITS)
        return fit;
    struct transaction *tx = client_tx(client, client->count++);
    uint8_t *recipients = tx->recipients;
    size_t room = tx->recipient_room;
    if (room < message->recipient_count) {
        room = message->recipient_count;
        recipients = memory_resize(recipients, room, 1);
    }
    memset(recipients, RECIPIENT_OPEN, message->recipient_count);
    *tx = (struct transaction){.message = *message, .recipients = recipients, .recipient_room = room};
    tx->message.size = message_size(message);
    tx->rcpt_count = message->recipient_count;
    if (client->can.rcpt_max && client->can.rcpt_max < tx->rcpt_count)
        tx->rcpt_count = client->can.rcpt_max;
    tx->asked = tx->answered = client->needs_reset ? STEP_RSET : STEP_MAIL;
    client->needs_reset = false;
    client->messages++;
    client->step++;
    client->span += client->count == 1;
    return SMTP_FITS;
}

void smtp_client_release_dot(struct smtp_client *client)
{
    if (client->count)
        client_tx(client, client->count - 1)->is_released = true;
}

bool smtp_client_withhold_dot(struct smtp_client *client)
{
    if (client->phase != CLIENT_READY || !client->count)
        return false;
    struct transaction *tx = client_tx(client, client->count - 1);
    bool is_withheld = tx->is_released && !tx->is_lonely && !dot_is_written(tx);
    if (is_withheld)
        tx->is_released = false;
    return is_withheld;
}

const struct smtp_capabilities *smtp_client_can(const struct smtp_client *client)
{
    return &client->can;
}

bool smtp_client_has_tls(const struct smtp_client *client)
{
    return client->has_tls;
}

bool smtp_client_misses_tls(const struct smtp_client *client)
{
    return client->refusal.code && client->refused_at == STAGE_STARTTLS;
}

enum stage smtp_client_stage(const struct smtp_client *client)
{
    switch (client->phase) {
    case CLIENT_BANNER: return STAGE_CONNECT;
    case CLIENT_EHLO:
    case CLIENT_HELO: return STAGE_EHLO;
    case CLIENT_STARTTLS:
    case CLIENT_TLS: return STAGE_STARTTLS;
    case CLIENT_AUTH: return STAGE_AUTH;
    case CLIENT_OVER: return client->over_stage;
    case CLIENT_READY: break;
    }
    if (client->count == 0)
        return STAGE_UNKNOWN;
    const struct transaction *tx = &client->slots[client->first];
    if (tx->answered <= STEP_MAIL)
        return STAGE_MAIL;
    if (tx->answered < step_data(tx))
        return STAGE_RCPT;
    return dot_is_written(tx) ? STAGE_DOT : STAGE_DATA;
}

time_ms smtp_client_timeout_ms(const struct smtp_client *client)
{
    const struct smtp_client_timeouts *timeout = &client->is.timeout;
    switch (client->phase) {
    case CLIENT_BANNER: return timeout->banner;
    case CLIENT_EHLO:
    case CLIENT_HELO: return timeout->ehlo;
    case CLIENT_STARTTLS: return timeout->starttls;
    case CLIENT_TLS: return 0;
    case CLIENT_AUTH: return timeout->auth;
    case CLIENT_OVER: return 0;
    case CLIENT_READY: break;
    }
    if (client->count == 0)
        return 0;
    const struct transaction *tx = &client->slots[client->first];
    if (tx->answered == STEP_RSET)
        return timeout->rset;
    if (tx->answered == STEP_MAIL)
        return timeout->mail;
    if (tx->answered < step_data(tx))
        return timeout->rcpt;
    if (tx->answered == step_data(tx))
        return timeout->data;
    if (dot_is_written(tx))
        return timeout->dot;
    bool is_ours = !tx->is_released && (tx->body_is_written || tx->message.is_held_whole);
    return is_ours ? 0 : timeout->block; /* ours: it waits for the mark */
}

unsigned smtp_client_step(const struct smtp_client *client)
{
    return client->step;
}

time_ms smtp_client_span_ms(const struct smtp_client *client)
{
    if (client->phase == CLIENT_OVER)
        return 0;
    if (client->phase != CLIENT_READY)
        return client->is.timeout.opening;
    const struct transaction *tx = &client->slots[client->first];
    if (client->count == 0 || dot_is_written(tx))
        return 0;
    return client->is.timeout.message + (time_ms)(tx->message.size / SMTP_CLIENT_RATE_LEAST) * SECONDS_MS(1) +
           (time_ms)tx->rcpt_count * SMTP_CLIENT_RECIPIENT_MS;
}

unsigned smtp_client_span(const struct smtp_client *client)
{
    return client->span;
}
