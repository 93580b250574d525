#include "app/playground/notice.h"

#include "mime/read.h"
#include "mime/write.h"
#include <stdio.h>

/* What the error mail says of the recipient. */
struct said {
    const char *action, *status, *diagnostic; /* diagnostic: with its type, "smtp; 550 ..." */
    const char *words;                        /* for people */
};

unsigned notice_count(enum fate fate)
{
    return fate == FATE_DELAYED ? 2 : fate_table[fate].told == FATE_TOLD_MAIL;
}

static struct said what_to_say(const struct notice_input *input, struct arena *arena)
{
    bool is_exchange = input->site->voice == VOICE_OUTLOOK;
    if (input->fate == FATE_MAILBOX_FULL_LATE && is_exchange)
        return (struct said){
            "failed", "5.2.2",
            "smtp;554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException."
            "MapiExceptionShutoffQuotaExceeded; Failed to process message due to a permanent exception",
            "The recipient's mailbox is full and can't accept messages now. Please try resending your "
            "message later, or contact the recipient directly."};
    if (input->fate == FATE_MAILBOX_FULL_LATE && input->site->voice == VOICE_AU)
        return (struct said){"failed", "5.2.2", "smtp; 552 mailbox is full",
                             "Could not be delivered to the following recipient, as their mailbox is full."};
    if (input->fate == FATE_MAILBOX_FULL_LATE)
        return (struct said){"failed", "5.2.2", "smtp; 552 5.2.2 Over quota", "mailbox is full (over quota)"};
    if (input->fate == FATE_DELAYED && input->is_first)
        return (struct said){
            "delayed", "4.4.1", "smtp; connect to inner.example[127.25.9.9]:25: Connection timed out",
            "delivery temporarily suspended: connect to inner.example[127.25.9.9]:25: Connection timed "
            "out"};
    if (input->fate == FATE_DELAYED)
        return (struct said){"failed", "4.4.7", "smtp;550 4.4.7 QUEUE.Expired; message expired",
                             "Message could not be delivered for 5 days: message expired. The remote server did not "
                             "answer in all that time."};
    if (is_exchange)
        return (struct said){
            "failed", "5.1.10",
            "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            "The email address you entered couldn't be found. Please check the recipient's email address "
            "and try to resend the message."};
    if (input->site->voice == VOICE_SENDMAIL)
        return (struct said){"failed", "5.1.1", "smtp; 550 5.1.1 User unknown", "User unknown"};
    /* a relay that has learned it from the server behind it */
    struct slice inner = arena_printf(
        arena, "<%.*s>: Recipient address rejected: User unknown in local recipient table", SLICE_ARG(input->to));
    return (struct said){"failed", "5.1.1", arena_printf(arena, "smtp; 550 5.1.1 %.*s", SLICE_ARG(inner)).ptr,
                         arena_printf(arena,
                                      "host inner.%s[127.25.9.9] said: 550 5.1.1 %.*s (in reply to RCPT TO command)",
                                      input->site->host, SLICE_ARG(inner))
                             .ptr};
}

/* The header block of a mail, with the empty line behind it left out. */
static struct slice head_of(struct slice mail)
{
    ptrdiff_t end = slice_find(mail, SLICE("\r\n\r\n"));
    return end < 0 ? mail : slice_head(mail, (size_t)end + 2);
}

static void write_date(struct buf *out, time_ms now)
{
    time_rfc5322(out, now, 9 * 60);
}

/* From, Subject and the like in the manner of the program. */
static void write_top(const struct notice_input *input, struct slice to, const struct said *said, const char *boundary,
                      struct buf *out)
{
    const char *host = input->site->host;
    bool is_delay = said->action[0] == 'd';
    buf_text(out, "Date: ");
    write_date(out, input->now);
    switch (input->site->voice) {
    case VOICE_SENDMAIL:
        buf_printf(out, "\r\nFrom: Mail Delivery Subsystem <MAILER-DAEMON@%s>\r\nSubject: %s\r\n", host,
                   is_delay ? "Warning: could not send message for past 4 hours"
                            : "Returned mail: see transcript for details");
        break;
    case VOICE_OUTLOOK:
        buf_printf(out, "\r\nFrom: Postmaster <postmaster@%s>\r\nSubject: %s\r\n", host,
                   is_delay ? "Delivery delayed" : "Undeliverable: your message");
        break;
    case VOICE_AU:
        buf_printf(out,
                   "\r\nFrom: Mail Administrator <Postmaster@%s>\r\nSubject: Mail System Error - Returned Mail\r\n",
                   host);
        break;
    case VOICE_GOOGLE:
        buf_printf(
            out,
            "\r\nFrom: Mail Delivery Subsystem <mailer-daemon@%s>\r\nSubject: Delivery Status Notification (%s)\r\n",
            host, is_delay ? "Delay" : "Failure");
        break;
    case VOICE_POSTFIX:
    case VOICE_EXIM:
    case VOICE_QMAIL:
    case VOICE_YAHOOJP:
    case VOICE_YAHOOINC:
    case VOICE_ICLOUD:
    case VOICE_DOCOMO:
    case VOICE_SOFTBANK:
        buf_printf(out, "\r\nFrom: MAILER-DAEMON@%s (Mail Delivery System)\r\nSubject: %s\r\n", host,
                   is_delay ? "Delayed Mail (still being retried)" : "Undelivered Mail Returned to Sender");
        break;
    }
    buf_printf(out,
               "To: %.*s\r\nMessage-ID: <%016llX.%s>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
               "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n",
               SLICE_ARG(to), (unsigned long long)input->id, host, boundary);
}

static void write_report(const struct notice_input *input, struct slice to, const struct said *said, struct buf *out)
{
    char boundary[80], ip[IP_TEXT_ROOM];
    snprintf(boundary, sizeof(boundary), "%016llX.%lld/%s", (unsigned long long)input->id,
             (long long)(input->now / 1000), input->site->host);
    write_top(input, to, said, boundary, out);
    bool is_delay = said->action[0] == 'd';
    buf_printf(out,
               "This is a MIME-encapsulated message.\r\n\r\n--%s\r\nContent-Description: Notification\r\n"
               "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
               "This is the mail system at host %s.\r\n\r\n",
               boundary, input->site->host);
    if (is_delay)
        buf_text(out, "####################################################################\r\n"
                      "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\r\n"
                      "####################################################################\r\n\r\n"
                      "Your message could not be delivered for more than 4 hour(s).\r\n"
                      "It will be retried until it is 5 day(s) old.\r\n\r\n");
    else
        buf_text(out, "I'm sorry to have to inform you that your message could not\r\n"
                      "be delivered to one or more recipients. It's attached below.\r\n\r\n");
    buf_printf(out, "                   The mail system\r\n\r\n<%.*s>: %s\r\n\r\n", SLICE_ARG(input->to), said->words);
    buf_printf(
        out,
        "--%s\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; %s\r\nX-Postfix-Queue-ID: %010llX\r\nReceived-From-MTA: dns; [%s]\r\nArrival-Date: ",
        boundary, input->site->host, (unsigned long long)(input->id & 0xffffffffff), ip_text(&input->peer, ip));
    write_date(out, input->now - 1000);
    buf_printf(
        out,
        "\r\n\r\nFinal-Recipient: rfc822; %.*s\r\nOriginal-Recipient: rfc822;%.*s\r\nAction: %s\r\nStatus: %s\r\n"
        "Diagnostic-Code: %s\r\n",
        SLICE_ARG(input->to), SLICE_ARG(input->to), said->action, said->status, said->diagnostic);
    if (is_delay) {
        buf_text(out, "Will-Retry-Until: ");
        write_date(out, input->now + DAYS_MS(5));
        buf_text(out, "\r\n");
    }
    bool gives_all = input->site->voice == VOICE_POSTFIX && !is_delay;
    buf_printf(out, "\r\n--%s\r\nContent-Description: %s\r\nContent-Type: %s\r\n\r\n", boundary,
               gives_all ? "Undelivered Message" : "Undelivered Message Headers",
               gives_all ? "message/rfc822" : "text/rfc822-headers");
    buf_append(out, gives_all ? input->mail : head_of(input->mail));
    buf_printf(out, "\r\n--%s--\r\n", boundary);
}

/* qmail-send's own form: no MIME, a paragraph for each recipient, then the mail. */
static void write_qmail(const struct notice_input *input, struct slice to, const struct said *said, struct buf *out)
{
    buf_text(out, "Date: ");
    write_date(out, input->now);
    buf_printf(
        out,
        "\r\nFrom: MAILER-DAEMON@%s\r\nTo: %.*s\r\nSubject: failure notice\r\nMessage-ID: <%lld.%llu.qmail@%s>\r\n\r\n"
        "Hi. This is the qmail-send program at %s.\r\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n<%.*s>:\r\n%s\r\n\r\n"
        "--- Below this line is a copy of the message.\r\n\r\n",
        input->site->host, SLICE_ARG(to), (long long)(input->now / 1000), (unsigned long long)input->id % 100000,
        input->site->host, input->site->host, SLICE_ARG(input->to),
        said->status[2] == '2' ? "552 5.2.2 Mailbox is full: user is over quota (#5.2.2)"
                               : "Sorry, no mailbox here by that name. (#5.1.1)");
    buf_append(out, input->mail);
}

/* A complaint, as feedback loops send it: RFC 5965, with the fields that let the sender find his mail. */
static void write_complaint(const struct notice_input *input, struct buf *out)
{
    char ip[IP_TEXT_ROOM];
    const char *host = input->site->host;
    unsigned long long id = input->id;
    buf_text(out, "Date: ");
    write_date(out, input->now);
    buf_printf(out,
               "\r\nFrom: <feedback@%s>\r\nTo: <%s>\r\nSubject: Abuse report\r\nMessage-ID: <%016llX.fbl@%s>\r\n"
               "MIME-Version: 1.0\r\nContent-Type: multipart/report; "
               "report-type=feedback-report;\r\n\tboundary=\"fbl_%llx\"\r\n\r\n"
               "--fbl_%llx\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
               "This is an email abuse report for an email message received from IP %s\r\n"
               "on behalf of a user who pressed \"This is spam\".\r\n\r\n",
               host, input->feedback_address, id, host, id, id, ip_text(&input->peer, ip));
    buf_printf(out,
               "--fbl_%llx\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n"
               "User-Agent: PlaygroundFeedback/1.0\r\nVersion: 1\r\nOriginal-Mail-From: <%.*s>\r\n"
               "Original-Rcpt-To: <%.*s>\r\nSource-IP: %s\r\nArrival-Date: ",
               id, SLICE_ARG(input->mail_from), SLICE_ARG(input->to), ip);
    write_date(out, input->now - 1000);
    buf_printf(out, "\r\nReporting-MTA: dns; %s\r\n\r\n--fbl_%llx\r\nContent-Type: message/rfc822\r\n\r\n", host, id);
    buf_append(out, input->mail);
    buf_printf(out, "\r\n--fbl_%llx--\r\n", id);
}

/* "I am away", to the return path, as RFC 3834 wants. */
static bool write_vacation(const struct notice_input *input, struct slice to, struct arena *arena, struct buf *out)
{
    struct mime_mail read;
    mime_read_head(input->mail, arena, &read);
    struct slice about = mime_text(mime_header(&read, 0, SLICE("Subject")), arena);
    struct slice answered = mime_header(&read, 0, SLICE("Message-ID"));
    struct slice japanese = arena_printf(arena, "自動返信: %.*s", SLICE_ARG(slice_head(about, 200)));
    struct slice english = arena_printf(arena, "Out of office: %.*s", SLICE_ARG(slice_head(about, 200)));
    bool is_japanese = input->id % 3 != 0;
    struct part body = {
        .kind = PART_TEXT,
        .type = SLICE("text/plain"),
        .content = is_japanese
                       ? SLICE("ご連絡ありがとうございます。\n休暇をいただいており、11月30日より出社いたします。\n"
                               "お急ぎの場合は代表電話までお願いいたします。\n")
                       : SLICE("Thank you for your mail.\nI am out of the office until 30 November and will answer "
                               "when I am back.\n"),
    };
    ptrdiff_t at = slice_find_last_byte(input->to, '@');
    struct mail_draft draft = {
        .from_address = input->to,
        .to_address = to,
        .subject = is_japanese ? japanese : english,
        .message_domain = slice_from(input->to, (size_t)(at + 1)),
        .in_reply_to = slice_head(answered, 900),
        .auto_submitted = SLICE("auto-replied"),
        .date = input->now,
        .date_offset_minutes = 9 * 60,
        .id = input->id,
        .body = &body,
    };
    struct fault why;
    return mail_write(out, &draft, &why);
}

/* A return path that looks like ours and is not: the end of its token is changed. */
static struct slice forged_path(struct slice mail_from, struct arena *arena)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    char *forged = arena_str(arena, mail_from);
    ptrdiff_t at = slice_find_last_byte(mail_from, '@');
    for (ptrdiff_t i = at - 1; i > 2 && i >= at - 12; i--) {
        const char *place = strchr(letters, ascii_lower(forged[i]));
        if (place)
            forged[i] = letters[(size_t)(place - letters + 7) % 32];
    }
    return slice_of(forged, mail_from.len);
}

bool notice_write(const struct notice_input *input, struct arena *arena, struct buf *out, struct slice *mail_from,
                  struct slice *mail_to)
{
    *mail_from = SLICE("");
    *mail_to = input->mail_from;
    if (input->fate == FATE_COMPLAINT) {
        if (!input->feedback_address)
            return false;
        *mail_from = arena_printf(arena, "feedback@%s", input->site->host);
        *mail_to = slice_str(input->feedback_address);
        write_complaint(input, out);
        return buf_ok(out);
    }
    if (slice_is_empty(input->mail_from)) /* nobody answers the null sender (RFC 5321 4.5.5) */
        return false;
    if (input->fate == FATE_VACATION)
        return write_vacation(input, *mail_to, arena, out) && buf_ok(out);
    if (input->fate == FATE_FORGED)
        *mail_to = forged_path(input->mail_from, arena);
    struct said said = what_to_say(input, arena);
    if (input->site->voice == VOICE_QMAIL)
        write_qmail(input, *mail_to, &said, out);
    else
        write_report(input, *mail_to, &said, out);
    return buf_ok(out);
}
