/* client_reply.c - what each reply means where it comes; it decides, client.c tells */
#include "base/base64.h"
#include "smtp/client_state.h"

static void owe(struct smtp_client *client, enum client_owes owes, const struct reply *reply)
{
    client->owes = owes;
    client->owed_reply = *reply;
}

static void phase_begin(struct smtp_client *client, enum client_phase phase)
{
    client->phase = phase;
    client->owes_command = true;
}

static bool is_2xx(const struct reply *reply)
{
    return reply->code >= 200 && reply->code < 300;
}

static bool is_refusal(const struct reply *reply)
{
    return reply->code >= 400;
}

/* It was refused, and the conversation goes on without it. */
static void go_on(struct smtp_client *client, enum stage stage, const struct reply *reply)
{
    buf_reset(&client->refusal_text);
    buf_append(&client->refusal_text, slice_head(reply->text, client->refusal_text.limit));
    client->refused_at = stage;
    client->refusal = *reply;
    client->refusal.text = buf_slice(&client->refusal_text);
}

/* ---- before READY ---- */

/* EHLO has been answered: TLS, AUTH or READY comes next. */
static void settled(struct smtp_client *client, const struct reply *reply)
{
    const struct smtp_capabilities *can = &client->can;
    bool may_auth = client->has_tls && (client->tls_is_verified || client->is.may_auth_unverified);
    if (!client->has_tls && client->is.tls != SMTP_TLS_NEVER && can->starttls && !client->tls_was_refused) {
        phase_begin(client, CLIENT_STARTTLS);
    } else if (!client->has_tls && client->is.tls == SMTP_TLS_MUST) {
        client_over_text(client, SMTP_OVER_TLS, STAGE_STARTTLS, "TLS is required and this host does not offer it");
    } else if (client->is.user.len == 0) {
        client->phase = CLIENT_READY;
        owe(client, OWES_READY, reply);
    } else if (!may_auth) {
        client_over_text(client, SMTP_OVER_TLS, STAGE_AUTH, "no password is sent without verified TLS");
    } else if (!can->auth_plain && !can->auth_login && !(can->auth_scram && client->is.scram_nonce.len)) {
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_AUTH, "this host offers no AUTH that we know");
    } else {
        client->auth = can->auth_scram && client->is.scram_nonce.len ? AUTH_SCRAM
                       : can->auth_plain                             ? AUTH_PLAIN
                                                                     : AUTH_LOGIN;
        if (client->auth == AUTH_SCRAM)
            scram_client_begin(&client->scram, client->is.user, client->is.scram_nonce, &client->auth_answer);
        client->auth_step = 0;
        phase_begin(client, CLIENT_AUTH);
    }
}

/* A challenge: the first wants our proof, the second is the server's own. */
static bool scram_challenge(struct smtp_client *client, struct slice text, struct fault *why)
{
    SCOPED(buf) challenge = BUF(SCRAM_CLIENT_TEXT_MAX);
    if (!base64_decode(&challenge, slice_trim(text)))
        return fault_set(why, FAULT_INPUT, "the SCRAM challenge is no base64");
    buf_reset(&client->auth_answer);
    if (client->auth_step == 0)
        return scram_client_prove(&client->scram, client->is.scram_nonce, client->is.password, buf_slice(&challenge),
                                  &client->auth_answer, why);
    client->auth_is_mutual = scram_client_check(&client->scram, buf_slice(&challenge), why);
    return client->auth_is_mutual;
}

static void auth_reply(struct smtp_client *client, const struct reply *reply)
{
    unsigned steps = client->auth == AUTH_PLAIN ? 1 : 2; /* challenges that make sense */
    struct fault why;
    if (reply->code == 334 && client->auth == AUTH_SCRAM && client->auth_step < steps &&
        !scram_challenge(client, reply->text, &why)) {
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_AUTH, why.text);
    } else if (reply->code == 235 && client->auth == AUTH_SCRAM && !client->auth_is_mutual) {
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_AUTH, "the server did not prove that it knows the password");
    } else if (reply->code == 235) {
        client->phase = CLIENT_READY;
        owe(client, OWES_READY, reply);
    } else if (reply->code == 334 && client->auth_step < steps) {
        client->auth_step++;
        client->owes_command = true;
    } else if (is_refusal(reply)) {
        client_over(client, SMTP_OVER_REPLY, STAGE_AUTH, reply);
    } else {
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_AUTH, "the reply to AUTH makes no sense");
    }
}

static void early_reply(struct smtp_client *client, const struct reply *reply)
{
    enum stage stage = smtp_client_stage(client);
    if (reply->code == 421) {
        client_over(client, SMTP_OVER_REPLY, stage, reply);
        return;
    }
    if (client->owes_command) {
        client_over_text(client, SMTP_OVER_PROTOCOL, stage, "a reply came to nothing we said");
        return;
    }
    switch (client->phase) {
    case CLIENT_BANNER:
        if (reply->code == 220) {
            owe(client, OWES_GREETED, reply);
            phase_begin(client, CLIENT_EHLO);
            return;
        }
        break;
    case CLIENT_EHLO:
        client->can.is_esmtp = is_2xx(reply);
        if (is_2xx(reply)) {
            settled(client, reply);
            return;
        }
        client->can = (struct smtp_capabilities){0};
        if (reply_is_permanent(reply)) {
            go_on(client, STAGE_EHLO, reply);
            phase_begin(client, CLIENT_HELO);
            return;
        }
        break;
    case CLIENT_HELO:
        if (is_2xx(reply)) {
            client->refusal.code = 0;
            settled(client, reply);
            return;
        }
        break;
    case CLIENT_STARTTLS:
        if (reply->code == 220) {
            owe(client, OWES_WANT_TLS, reply);
            client->phase = CLIENT_TLS;
            return;
        }
        client->tls_was_refused = true;
        if (is_refusal(reply) && client->is.tls == SMTP_TLS_MAY) {
            go_on(client, STAGE_STARTTLS, reply);
            settled(client, reply);
        } else if (is_refusal(reply))
            client_over(client, SMTP_OVER_TLS, STAGE_STARTTLS, reply);
        else
            break;
        return;
    case CLIENT_AUTH: auth_reply(client, reply); return;
    case CLIENT_TLS:
    case CLIENT_READY:
    case CLIENT_OVER: return;
    }
    if (is_refusal(reply))
        client_over(client, SMTP_OVER_REPLY, stage, reply);
    else
        client_over_text(client, SMTP_OVER_PROTOCOL, stage, "the reply has a code that does not belong here");
}

/* ---- transactions ---- */

static void tell(struct smtp_client *client, size_t from, size_t to, enum smtp_outcome outcome, enum stage stage,
                 const struct reply *reply)
{
    client->telling =
        (struct telling){.is_on = true, .outcome = outcome, .stage = stage, .reply = *reply, .next = from, .to = to};
}

/* The transaction has had its last reply: what is untold gets this outcome, then MESSAGE. */
static void finish(struct smtp_client *client, enum smtp_outcome outcome, enum stage stage, const struct reply *reply)
{
    tell(client, 0, client_tx(client, 0)->message.recipient_count, outcome, stage, reply);
    client->telling.ends_message = true;
}

static void mail_reply(struct smtp_client *client, struct transaction *tx, const struct reply *reply)
{
    if (is_2xx(reply))
        return;
    if (!is_refusal(reply)) {
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_MAIL, "the reply to MAIL makes no sense");
        return;
    }
    tx->mail_is_refused = true;
    if (tx->asked > tx->answered)
        tell(client, 0, tx->message.recipient_count, SMTP_REFUSED, STAGE_MAIL, reply);
    else
        finish(client, SMTP_REFUSED, STAGE_MAIL, reply);
}

/* 452, or 552 that says so: not "never", not even "later", but "in the next transaction" (RFC 5321 4.5.3.1.10). */
static bool is_too_many(const struct transaction *tx, const struct reply *reply)
{
    bool says_so = reply->status[1] == 5 && reply->status[2] == 3;
    bool says_nothing = reply->status[0] == 0;
    return tx->accepted > 0 && ((reply->code == 452 && (says_so || says_nothing)) || (reply->code == 552 && says_so));
}

static void rcpt_reply(struct smtp_client *client, struct transaction *tx, size_t index, const struct reply *reply)
{
    if (!tx->mail_is_refused) {
        if (is_2xx(reply)) {
            tx->recipients[index] = RECIPIENT_ACCEPTED;
            tx->accepted++;
        } else if (is_refusal(reply)) {
            tell(client, index, index + 1, is_too_many(tx, reply) ? SMTP_AGAIN : SMTP_REFUSED, STAGE_RCPT, reply);
        } else {
            client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_RCPT, "the reply to RCPT makes no sense");
            return;
        }
    }
    if (tx->answered == step_data(tx) && tx->accepted == 0 && tx->asked == tx->answered) {
        client->needs_reset = !tx->mail_is_refused; /* in lock step: DATA is not asked for nobody */
        enum smtp_outcome outcome = client->telling.is_on ? client->telling.outcome : SMTP_UNSENT;
        finish(client, outcome, STAGE_RCPT, reply);
    }
}

static void data_reply(struct smtp_client *client, struct transaction *tx, const struct reply *reply)
{
    if (reply->code == 354) {
        tx->has_go = true;
        tx->is_lonely = tx->accepted == 0;
        if (!tx->is_lonely && !tx->is_released)
            owe(client, OWES_WANT_DOT, reply);
    } else if (is_refusal(reply)) {
        client->needs_reset = !tx->mail_is_refused;
        finish(client, SMTP_REFUSED, STAGE_DATA, reply);
    } else {
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_DATA, "the reply to DATA makes no sense");
    }
}

static void dot_reply(struct smtp_client *client, struct transaction *tx, const struct reply *reply)
{
    if (is_2xx(reply)) {
        finish(client, SMTP_DELIVERED, STAGE_DOT, reply);
    } else if (is_refusal(reply)) {
        client->needs_reset = client->count == 1; /* else the next is on the wire already; the dot closed this one */
        finish(client, SMTP_REFUSED, STAGE_DOT, reply);
    } else {
        SCOPED(buf) what = BUF(SMTP_REPLY_TEXT_MAX);
        buf_printf(&what, "the reply to the dot makes no sense: %d %.*s", reply->code,
                   SLICE_ARG(slice_head(reply->text, SMTP_REPLY_TEXT_MAX / 2)));
        const struct reply none = {.text = buf_slice(&what)};
        client_over(client, SMTP_OVER_PROTOCOL, STAGE_DOT, &none);
    }
}

/* A reply in the middle of the body: the host wants no more of it, and where it stands nobody knows. */
static void body_interrupted(struct smtp_client *client, const struct reply *reply)
{
    if (is_refusal(reply)) {
        tell(client, 0, client_tx(client, 0)->message.recipient_count, SMTP_REFUSED, STAGE_DATA, reply);
        client_over(client, SMTP_OVER_REPLY, STAGE_DATA, reply);
    } else {
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_DATA, "a reply came before the message was sent");
    }
}

/* 421: whatever was asked is refused with it, and the conversation is over. */
static void leaving(struct smtp_client *client, struct transaction *tx, const struct reply *reply)
{
    enum stage stage = smtp_client_stage(client);
    size_t count = tx->message.recipient_count;
    if (tx->asked == tx->answered) {
        if (tx->has_go)
            tell(client, 0, count, SMTP_REFUSED, STAGE_DATA, reply); /* inside the body */
    } else if (tx->answered == STEP_MAIL) {
        tell(client, 0, count, SMTP_REFUSED, STAGE_MAIL, reply);
    } else if (tx->answered >= STEP_RCPT && tx->answered < step_data(tx) && !tx->mail_is_refused) {
        tell(client, tx->answered - STEP_RCPT, tx->answered - STEP_RCPT + 1, SMTP_REFUSED, STAGE_RCPT, reply);
    } else if (tx->answered >= step_data(tx)) {
        tell(client, 0, count, SMTP_REFUSED, stage, reply);
    }
    client_over(client, SMTP_OVER_REPLY, stage, reply);
}

static void transaction_reply(struct smtp_client *client, const struct reply *reply)
{
    struct transaction *tx = client_tx(client, 0);
    if (reply->code == 421) {
        leaving(client, tx, reply);
        return;
    }
    if (reply->code == 221) { /* a goodbye and no answer: to the dot it does not say that the mail was taken */
        client_over(client, SMTP_OVER_REPLY, smtp_client_stage(client), reply);
        return;
    }
    if (!is_refusal(reply))
        client->refusal.code = 0;
    if (tx->answered == tx->asked) {
        if (tx->has_go)
            body_interrupted(client, reply);
        else
            client_over_text(client, SMTP_OVER_PROTOCOL, smtp_client_stage(client), "a reply came to nothing we said");
        return;
    }
    size_t step = tx->answered++;
    if (step == STEP_RSET) {
        if (!is_2xx(reply))
            client_over(client, SMTP_OVER_REPLY, STAGE_UNKNOWN, reply);
    } else if (step == STEP_MAIL) {
        mail_reply(client, tx, reply);
    } else if (step < step_data(tx)) {
        rcpt_reply(client, tx, step - STEP_RCPT, reply);
    } else if (step == step_data(tx)) {
        data_reply(client, tx, reply);
    } else {
        dot_reply(client, tx, reply);
    }
}

void client_take_reply(struct smtp_client *client, const struct reply *reply)
{
    client->step++;
    if (client->phase != CLIENT_READY)
        early_reply(client, reply);
    else if (client->count)
        transaction_reply(client, reply);
    else if (reply->code == 421)
        client_over(client, SMTP_OVER_REPLY, STAGE_UNKNOWN, reply);
    else
        client_over_text(client, SMTP_OVER_PROTOCOL, STAGE_UNKNOWN, "a reply came to nothing we said");
}
