/* client_write.c - what may be sent now: commands as far ahead as the host allows, then the body, then the dot */
#include "base/base64.h"
#include "smtp/client_state.h"

#include <assert.h>

enum { COMMAND_ROOM = 1400 }; /* more than any one command of ours */

static void command(struct buf *out, struct slice word, struct slice argument)
{
    buf_append(out, word);
    buf_append(out, argument);
    buf_text(out, "\r\n");
}

static void auth_secret_write(struct smtp_client *client, struct buf *out, struct slice text)
{
    base64_encode(out, text);
    buf_text(out, "\r\n");
}

/* PLAIN: NUL user NUL password. The copy is wiped. */
static void auth_plain_write(struct smtp_client *client, struct buf *out)
{
    SCOPED(buf) secret = BUF(16384);
    buf_byte(&secret, '\0');
    buf_append(&secret, client->is.user);
    buf_byte(&secret, '\0');
    buf_append(&secret, client->is.password);
    auth_secret_write(client, out, buf_slice(&secret));
    explicit_bzero(secret.ptr, secret.room);
}

static void auth_write(struct smtp_client *client, struct buf *out)
{
    if (client->auth == AUTH_SCRAM) {
        if (client->auth_step == 0)
            buf_text(out, "AUTH SCRAM-SHA-256 ");
        auth_secret_write(client, out, client->auth_step < 2 ? buf_slice(&client->auth_answer) : SLICE(""));
    } else if (client->auth == AUTH_PLAIN) {
        if (client->auth_step == 0)
            buf_text(out, "AUTH PLAIN ");
        auth_plain_write(client, out);
    } else if (client->auth_step == 0) {
        buf_text(out, "AUTH LOGIN\r\n");
    } else {
        auth_secret_write(client, out, client->auth_step == 1 ? client->is.user : client->is.password);
    }
}

static void phase_write(struct smtp_client *client, struct buf *out)
{
    switch (client->phase) {
    case CLIENT_EHLO: command(out, SLICE("EHLO "), client->is.ehlo_name); break;
    case CLIENT_HELO: command(out, SLICE("HELO "), client->is.ehlo_name); break;
    case CLIENT_STARTTLS: buf_text(out, "STARTTLS\r\n"); break;
    case CLIENT_AUTH: auth_write(client, out); break;
    case CLIENT_BANNER:
    case CLIENT_TLS:
    case CLIENT_READY:
    case CLIENT_OVER: break;
    }
    client->owes_command = false;
}

static bool has_octet_above_127(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0x80)
            return true;
    return false;
}

static void mail_write(const struct smtp_client *client, const struct transaction *tx, struct buf *out)
{
    const struct smtp_message *message = &tx->message;
    bool has_utf8 = message->needs_smtputf8 || has_octet_above_127(message->mail_from);
    for (size_t i = 0; i < message->recipient_count && client->can.smtputf8; i++)
        has_utf8 = has_utf8 || has_octet_above_127(message->recipients[i]);
    buf_text(out, "MAIL FROM:<");
    buf_append(out, message->mail_from);
    buf_byte(out, '>');
    if (client->can.has_size) {
        buf_text(out, " SIZE=");
        buf_u64(out, message->size);
    }
    if ((message->needs_8bit || has_utf8) && client->can.eight_bit)
        buf_text(out, " BODY=8BITMIME");
    if (has_utf8)
        buf_text(out, " SMTPUTF8");
    buf_text(out, "\r\n");
}

/* Write the next command of the transaction. */
static void step_write(const struct smtp_client *client, struct transaction *tx, struct buf *out)
{
    if (tx->asked == STEP_RSET) {
        buf_text(out, "RSET\r\n");
    } else if (tx->asked == STEP_MAIL) {
        mail_write(client, tx, out);
    } else if (tx->asked < step_data(tx)) {
        buf_text(out, "RCPT TO:<");
        buf_append(out, tx->message.recipients[tx->asked - STEP_RCPT]);
        buf_text(out, ">\r\n");
    } else {
        buf_text(out, "DATA\r\n");
    }
    tx->asked++;
}

static bool step_may_go(const struct smtp_client *client, const struct transaction *tx)
{
    if (tx->asked > step_data(tx))
        return false;
    if (client_pipelines(client))
        return true;
    return tx->answered == tx->asked && !tx->mail_is_refused && (tx->asked != step_data(tx) || tx->accepted);
}

static bool body_write(struct smtp_client *client, struct transaction *tx, struct buf *out)
{
    const struct smtp_message *message = &tx->message;
    size_t from = out->len;
    while (tx->body_at < message->body_count) {
        if (!tx->body_is_begun)
            tx->body_rest = message->body[tx->body_at];
        tx->body_is_begun = true;
        size_t before = tx->body_rest.len, used = out->len - from;
        if (before && used < SMTP_CLIENT_CHUNK)
            dots_write(&tx->dots, &tx->body_rest, SMTP_CLIENT_CHUNK - used, out);
        if (before && tx->body_rest.len == before)
            break; /* no room */
        if (tx->body_rest.len == 0) {
            tx->body_at++;
            tx->body_is_begun = false;
        }
    }
    client->step++;
    if (tx->body_at < message->body_count || out->limit - out->len < 8)
        return true;
    dots_write_end(&tx->dots, out);
    tx->body_is_written = true;
    return false;
}

/* True: there is more for this transaction, but no room. */
static bool transaction_write(struct smtp_client *client, struct transaction *tx, struct buf *out)
{
    while (step_may_go(client, tx)) {
        if (out->limit - out->len < COMMAND_ROOM)
            return true;
        step_write(client, tx, out);
    }
    if (!tx->has_go || dot_is_written(tx))
        return false;
    if (tx->is_lonely)
        tx->body_is_written = tx->is_released = true;
    if (tx->message.is_held_whole && !tx->is_released)
        return false;
    if (!tx->body_is_written && body_write(client, tx, out))
        return true;
    if (!tx->is_released)
        return false;
    if (out->limit - out->len < 3)
        return true;
    buf_text(out, ".\r\n");
    tx->asked = step_dot(tx) + 1;
    client->step++;
    client->span++;
    return false;
}

bool smtp_client_write(struct smtp_client *client, struct buf *out)
{
    assert(out->limit >= SMTP_CLIENT_OUT_MIN);
    if (out->limit - out->len < COMMAND_ROOM)
        return true;
    if (client->phase == CLIENT_OVER) {
        if (client->owes_quit)
            buf_text(out, "QUIT\r\n");
        client->owes_quit = false;
        return false;
    }
    if (client->owes_command)
        phase_write(client, out);
    for (unsigned n = 0; n < client->count; n++) {
        struct transaction *tx = client_tx(client, n);
        if (n == 1 && !dot_is_written(client_tx(client, 0)))
            break;
        if (transaction_write(client, tx, out))
            return true;
    }
    return false;
}
