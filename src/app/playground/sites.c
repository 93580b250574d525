#include "app/playground/sites.h"

#include "base/map.h"

#define FATE_ROW(NAME, word, ends, reason, told)                                                                       \
    {SLICE_INIT(#word), DELIVERY_##ends, REASON_##reason, FATE_TOLD_##told},
const struct fate_row fate_table[FATE_COUNT] = {FATES(FATE_ROW)};

/* clang-format off */
const struct site site_table[] = {
    {"Gmail-like", "mx1.gmail.example", {1, 1}, VOICE_GOOGLE, SITE_AUTH, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 210}, {FATE_SUSPENDED, 30}, {FATE_MAILBOX_FULL, 60}, {FATE_SPAM, 25}, {FATE_VACATION, 30}, {FATE_COMPLAINT, 12}, {FATE_FORGED, 8}}},
    {"Yahoo!-JAPAN-like", "mx.yahoojp.example", {1, 2}, VOICE_YAHOOJP, 0, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 250}, {FATE_SUSPENDED, 40}, {FATE_MAILBOX_FULL, 50}, {FATE_COMPLAINT, 20}, {FATE_VACATION, 20}}},
    {"Outlook-like", "mx.outlook.example", {1, 3}, VOICE_OUTLOOK, SITE_AUTH, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 200}, {FATE_MAILBOX_FULL_LATE, 60}, {FATE_SPAM, 30}, {FATE_VACATION, 60}, {FATE_COMPLAINT, 10}}},
    {"iCloud-like", "mx.icloud.example", {1, 4}, VOICE_ICLOUD, 0, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 160}, {FATE_SUSPENDED, 50}, {FATE_HAS_MOVED, 40}, {FATE_MAILBOX_FULL, 60}}},
    {"docomo-like", "mfsmax.docomo.example", {1, 5}, VOICE_DOCOMO, SITE_AUTH | SITE_SHORT_SESSIONS, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 380}, {FATE_MAILBOX_FULL, 60}, {FATE_FILTERED, 60}}},
    {"au-like", "lsean.au.example", {1, 6}, VOICE_AU, SITE_RESETS | SITE_NO_TLS, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 330}, {FATE_FILTERED, 120}, {FATE_MAILBOX_FULL_LATE, 40}}},
    {"SoftBank-like", "mx.softbank.example", {1, 7}, VOICE_SOFTBANK, SITE_SENDER_DNS, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 300}, {FATE_MAILBOX_FULL, 60}, {FATE_FILTERED, 50}}},
    {"Yahoo-Inc-like, throttling", "mta5.yahooinc.example", {1, 8}, VOICE_YAHOOINC, SITE_AUTH, 0, 0, 25,
     {{FATE_USER_UNKNOWN, 200}, {FATE_SUSPENDED, 60}, {FATE_THROTTLE, 9740}}},
    {"a company on Postfix", "mail.yamada-shoten.example", {2, 1}, VOICE_POSTFIX, 0, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 250}, {FATE_HAS_MOVED, 60}, {FATE_MAILBOX_FULL, 80}, {FATE_VACATION, 80}}},
    {"a university on Sendmail", "mx.u-midori.example", {2, 2}, VOICE_SENDMAIL, 0, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 400}, {FATE_MAILBOX_FULL, 150}, {FATE_VACATION, 60}}},
    {"a factory on Exim", "mail.nakamura-ss.example", {2, 3}, VOICE_EXIM, SITE_NOT_PIPELINING, 0, 0, 0,
     {{FATE_USER_UNKNOWN, 250}, {FATE_MAILBOX_FULL, 80}}},
    {"accepts all, bounces later (qmail)", "gw.kaisha-mail.example", {2, 4}, VOICE_QMAIL, 0, 0, 0, 0,
     {{FATE_USER_UNKNOWN_LATE, 900}, {FATE_MAILBOX_FULL_LATE, 150}, {FATE_FORGED, 100}}},
    {"accepts all, bounces later (Exchange)", "edge.works-exchange.example", {2, 5}, VOICE_OUTLOOK, 0, 0, 0, 0,
     {{FATE_USER_UNKNOWN_LATE, 700}, {FATE_MAILBOX_FULL_LATE, 100}, {FATE_VACATION, 200}}},
    {"accepts all, bounces later (Postfix)", "relay.onsen-ryokan.example", {2, 6}, VOICE_POSTFIX, 0, 0, 0, 0,
     {{FATE_USER_UNKNOWN_LATE, 900}, {FATE_DELAYED, 300}}},
    {"greylists", "mx.city-hinode.example", {3, 1}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_GREYLIST, 10000}}},
    {"busy at first", "mx.isogashii.example", {3, 2}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_BUSY, 10000}}},
    {"small messages only, says so", "mx.garakei.example", {3, 3}, VOICE_POSTFIX, 0, 1024, 0, 0, {{FATE_MESSAGE_TOO_BIG, 10000}}},
    {"small messages only, hides it", "mx.chiisana-hako.example", {3, 4}, VOICE_SENDMAIL, SITE_HIDES_SIZE, 1024, 0, 0, {{FATE_MESSAGE_TOO_BIG, 10000}}},
    {"short lines only", "gw.furui-gateway.example", {3, 5}, VOICE_DOCOMO, 0, 0, 40, 0, {{FATE_LINE_TOO_LONG, 10000}}},
    {"a strict spam filter", "wall.spamwall.example", {3, 6}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_SPAM, 10000}}},
    {"a nervous virus filter", "wall.viruswall.example", {3, 7}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_VIRUS, 10000}}},
    {"wants SPF exactly aligned", "mx.strict-auth.example", {3, 8}, VOICE_OUTLOOK, SITE_AUTH | SITE_AUTH_STRICT, 0, 0, 0, {{FATE_AUTH_FAILURE, 10000}}},
    {"has our IP on a blocklist", "mx.blocklist.example", {3, 9}, VOICE_OUTLOOK, 0, 0, 0, 0, {{FATE_BLOCKED, 10000}}},
    {"a company's own mail policy", "mx.naiki.example", {3, 10}, VOICE_GOOGLE, 0, 0, 0, 0, {{FATE_POLICY, 10000}}},
    {"late and later", "mx.delay-relay.example", {3, 11}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_DELAYED, 10000}}},
    {"connection refused", "mx.port-closed.example", {4, 1}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_REFUSED, 10000}}},
    {"resets every connection", "mx.reset.example", {4, 2}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_RESET, 10000}}},
    {"never says a word", "mx.silent.example", {4, 3}, VOICE_POSTFIX, 0, 0, 0, 0, {{FATE_SILENT, 10000}}},
    {"accepts everything", "mx.accept.example", {5, 1}, VOICE_POSTFIX, SITE_AUTH, 0, 0, 0, {{FATE_ACCEPT, 10000}}},
};
const size_t site_count = COUNT_OF(site_table);

/* Domain and MX. An MX that is no site's host of its own stands for the site whose host ends alike (tenants of one
 * provider have names of their own there). */
static const struct {
    const char *name, *mx, *host; /* host: of the site, when mx is another name of it */
} domains[] = {
    {"gmail.example", "mx1.gmail.example", NULL},
    {"yahoo-jp.example", "mx.yahoojp.example", NULL},
    {"outlook.example", "mx.outlook.example", NULL},
    {"hotmail.example", "mx.outlook.example", NULL},
    {"icloud.example", "mx.icloud.example", NULL},
    {"docomo.example", "mfsmax.docomo.example", NULL},
    {"au.example", "lsean.au.example", NULL},
    {"ezweb.example", "lsean.au.example", NULL},
    {"softbank.example", "mx.softbank.example", NULL},
    {"i-softbank.example", "mx.softbank.example", NULL},
    {"yahoo.example", "mta5.yahooinc.example", NULL},
    {"aol.example", "mta5.yahooinc.example", NULL},
    /* companies at a big provider: one site for all of them */
    {"sakura-shoji.example", "aspmx.gmail.example", "mx1.gmail.example"},
    {"aozora-design.example", "aspmx.gmail.example", "mx1.gmail.example"},
    {"brightwater.example", "aspmx.gmail.example", "mx1.gmail.example"},
    {"tokai-kogyo.example", "tokai-kogyo.mail.outlook.example", "mx.outlook.example"},
    {"minato-bussan.example", "minato-bussan.mail.outlook.example", "mx.outlook.example"},
    {"northgate.example", "northgate.mail.outlook.example", "mx.outlook.example"},
    /* companies and others with servers of their own */
    {"yamada-shoten.example", "mail.yamada-shoten.example", NULL},
    {"hanamaru-cafe.example", "mail.yamada-shoten.example", NULL},
    {"u-midori.example", "mx.u-midori.example", NULL},
    {"nakamura-ss.example", "mail.nakamura-ss.example", NULL},
    {"kaisha-mail.example", "gw.kaisha-mail.example", NULL},
    {"works-exchange.example", "edge.works-exchange.example", NULL},
    {"onsen-ryokan.example", "relay.onsen-ryokan.example", NULL},
    {"city-hinode.example", "mx.city-hinode.example", NULL},
    {"isogashii.example", "mx.isogashii.example", NULL},
    {"garakei.example", "mx.garakei.example", NULL},
    {"chiisana-hako.example", "mx.chiisana-hako.example", NULL},
    {"furui-gateway.example", "gw.furui-gateway.example", NULL},
    {"spamwall.example", "wall.spamwall.example", NULL},
    {"viruswall.example", "wall.viruswall.example", NULL},
    {"strict-auth.example", "mx.strict-auth.example", NULL},
    {"blocklist.example", "mx.blocklist.example", NULL},
    {"naiki.example", "mx.naiki.example", NULL},
    {"delay-relay.example", "mx.delay-relay.example", NULL},
    {"port-closed.example", "mx.port-closed.example", NULL},
    {"reset.example", "mx.reset.example", NULL},
    {"silent.example", "mx.silent.example", NULL},
    {"accept.example", "mx.accept.example", NULL},
    {"null-mx.example", NULL, NULL},
    {"kyuden-seika.example", NULL, NULL}, /* a company that has closed its mail */
};

const struct site_reply site_reply_table[] = {
    {VOICE_POSTFIX, FATE_USER_UNKNOWN, STAGE_RCPT, "550 5.1.1 <{to}>: Recipient address rejected: User unknown in local recipient table"},
    {VOICE_POSTFIX, FATE_USER_UNKNOWN, STAGE_RCPT, "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table"},
    {VOICE_POSTFIX, FATE_HAS_MOVED, STAGE_RCPT, "550 5.1.6 <{to}>: Recipient address rejected: User has moved to info@{domain}"},
    {VOICE_POSTFIX, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 <{to}>: Recipient address rejected: Mailbox full"},
    {VOICE_POSTFIX, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 <{to}>: Recipient address rejected: Mailbox is over quota"},
    {VOICE_POSTFIX, FATE_SUSPENDED, STAGE_RCPT, "550 5.2.1 <{to}>: Recipient address rejected: This account has been disabled"},
    {VOICE_POSTFIX, FATE_MESSAGE_TOO_BIG, STAGE_DOT, "552 5.3.4 Message size exceeds fixed limit"},
    {VOICE_POSTFIX, FATE_LINE_TOO_LONG, STAGE_DOT, "500 Line Too Long"},
    {VOICE_POSTFIX, FATE_SPAM, STAGE_DOT, "550 5.7.1 Message rejected: this message looks like spam"},
    {VOICE_POSTFIX, FATE_SPAM, STAGE_DOT, "550 5.7.1 Blocked by SpamAssassin"},
    {VOICE_POSTFIX, FATE_VIRUS, STAGE_DOT, "550 5.7.1 virus Eicar-Test-Signature detected by ClamAV - http://www.clamav.net"},
    {VOICE_POSTFIX, FATE_VIRUS, STAGE_DOT, "554 5.7.1 The message is infected with the virus 'EICAR-Test-File'"},
    {VOICE_POSTFIX, FATE_AUTH_FAILURE, STAGE_DOT, "550 5.7.1 Email rejected per DMARC policy for {author}"},
    {VOICE_POSTFIX, FATE_BLOCKED, STAGE_RCPT, "554 5.7.1 Service unavailable; Client host [{ip}] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/{ip}"},
    {VOICE_POSTFIX, FATE_GREYLIST, STAGE_RCPT, "450 4.2.0 <{to}>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/{domain}.html"},
    {VOICE_POSTFIX, FATE_GREYLIST, STAGE_RCPT, "451 4.7.1 Greylisting in action, please come back later"},
    {VOICE_POSTFIX, FATE_BUSY, STAGE_CONNECT, "421 4.7.0 Temporary server failure. Please try again later"},
    {VOICE_POSTFIX, FATE_THROTTLE, STAGE_RCPT, "421 4.7.0 {host} Error: too many messages from {ip}, rate limit exceeded"},
    {VOICE_SENDMAIL, FATE_USER_UNKNOWN, STAGE_RCPT, "550 5.1.1 <{to}>... User unknown"},
    {VOICE_SENDMAIL, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 <{to}>... Mailbox full"},
    {VOICE_SENDMAIL, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 <{to}>... Message size exceeds remaining quota"},
    {VOICE_SENDMAIL, FATE_MESSAGE_TOO_BIG, STAGE_DOT, "552 5.3.4 Message is too large; 1024 bytes max"},
    {VOICE_SENDMAIL, FATE_MESSAGE_TOO_BIG, STAGE_DOT, "552 5.3.4 Message exceeds maximum fixed size (1024)"},
    {VOICE_EXIM, FATE_USER_UNKNOWN, STAGE_RCPT, "550 No Such User Here"},
    {VOICE_EXIM, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 Mailbox quota exceeded"},
    {VOICE_GOOGLE, FATE_USER_UNKNOWN, STAGE_RCPT,
     "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n550-5.1.1 double-checking the recipient's email address for typos or\r\n"
     "550-5.1.1 unnecessary spaces. For more information, go to\r\n550 5.1.1  https://support.google.com/mail/?p=NoSuchUser {id} - gsmtp"},
    {VOICE_GOOGLE, FATE_SUSPENDED, STAGE_RCPT,
     "550-5.2.1 The email account that you tried to reach is disabled. For more\r\n550-5.2.1 information, go to\r\n550 5.2.1  "
     "https://support.google.com/mail/?p=DisabledUser {id} - gsmtp"},
    {VOICE_GOOGLE, FATE_MAILBOX_FULL, STAGE_RCPT,
     "452-4.2.2 The recipient's inbox is out of storage space. Please direct the\r\n452-4.2.2 recipient to\r\n452 4.2.2  "
     "https://support.google.com/mail/?p=OverQuotaTemp {id} - gsmtp"},
    {VOICE_GOOGLE, FATE_SPAM, STAGE_DOT,
     "550-5.7.1 [{ip}      12] Our system has detected that this message is\r\n550-5.7.1 likely unsolicited mail. To reduce the amount of spam sent to Gmail,\r\n"
     "550-5.7.1 this message has been blocked. Please visit\r\n550-5.7.1  https://support.google.com/mail/?p=UnsolicitedMessageError\r\n"
     "550 5.7.1  for more information. {id} - gsmtp"},
    {VOICE_GOOGLE, FATE_VIRUS, STAGE_DOT,
     "552-5.7.0 This message was blocked because its content presents a potential\r\n552-5.7.0 security issue. Please visit\r\n"
     "552-5.7.0  https://support.google.com/mail/?p=BlockedMessage to review our\r\n552 5.7.0 message content and attachment content guidelines. {id} - gsmtp"},
    {VOICE_GOOGLE, FATE_POLICY, STAGE_DOT, "550 5.7.1 This message violates {domain} email policy. - gcdp {id} - gsmtp"},
    {VOICE_GOOGLE, FATE_AUTH_FAILURE, STAGE_DOT,
     "550-5.7.26 This mail has been blocked because the sender is unauthenticated.\r\n550-5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.\r\n"
     "550-5.7.26\r\n550-5.7.26  Authentication results:\r\n550-5.7.26  DKIM = {dkim}\r\n550-5.7.26  SPF [{from}] with ip: [{ip}] = {spf}\r\n550-5.7.26\r\n"
     "550-5.7.26  For instructions on setting up authentication, go to\r\n550 5.7.26  https://support.google.com/mail/answer/81126#authentication {id} - gsmtp"},
    {VOICE_GOOGLE, FATE_THROTTLE, STAGE_RCPT,
     "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating\r\n421-4.7.28 from your IP address. To protect our users from spam, mail has been\r\n"
     "421-4.7.28 temporarily rate limited. For more information, go to\r\n421 4.7.28  https://support.google.com/mail/?p=UnsolicitedRateLimitError {id} - gsmtp"},
    {VOICE_OUTLOOK, FATE_USER_UNKNOWN, STAGE_RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). [{id}.prod.protection.outlook.com]"},
    {VOICE_OUTLOOK, FATE_USER_UNKNOWN, STAGE_RCPT, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [{id}.prod.protection.outlook.com]"},
    {VOICE_OUTLOOK, FATE_SPAM, STAGE_DOT, "550 5.7.1 Message rejected as spam by Content Filtering."},
    {VOICE_OUTLOOK, FATE_AUTH_FAILURE, STAGE_DOT,
     "550 5.7.515 Access denied, sending domain {author} does not meet the required authentication level. The sender's domain in the 5322.From address doesn't meet the "
     "authentication requirements defined for the sender. To learn how to fix this see: https://go.microsoft.com/fwlink/p/?linkid=2319303 Spf= {spf} , Dkim= {dkim} , "
     "DMARC= {dmarc} [{id}.prod.protection.outlook.com]"},
    {VOICE_OUTLOOK, FATE_BLOCKED, STAGE_MAIL,
     "550 5.7.1 Unfortunately, messages from [{ip}] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150). "
     "You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors. [{id}.prod.protection.outlook.com]"},
    {VOICE_YAHOOJP, FATE_USER_UNKNOWN, STAGE_RCPT, "550 5.1.1 <{to}>... User unknown"},
    {VOICE_YAHOOJP, FATE_SUSPENDED, STAGE_RCPT, "554 delivery error: dd This account has been disabled or discontinued [#102]. - {host}"},
    {VOICE_YAHOOJP, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 <{to}>: user is over quota"},
    {VOICE_YAHOOINC, FATE_USER_UNKNOWN, STAGE_RCPT, "552 1 Requested mail action aborted, mailbox not found"},
    {VOICE_YAHOOINC, FATE_SUSPENDED, STAGE_RCPT, "554 30 Sorry, your message to {to} cannot be delivered. This mailbox is disabled (554.30)."},
    {VOICE_YAHOOINC, FATE_POLICY, STAGE_DOT, "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes"},
    {VOICE_YAHOOINC, FATE_AUTH_FAILURE, STAGE_DOT,
     "550 5.7.9 This mail has been blocked because the sender is unauthenticated. Yahoo requires all senders to authenticate with either SPF or DKIM."},
    {VOICE_YAHOOINC, FATE_THROTTLE, STAGE_RCPT,
     "421 4.7.0 [TSS04] Messages from {ip} temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes"},
    {VOICE_ICLOUD, FATE_USER_UNKNOWN, STAGE_RCPT, "550 5.1.1 <{to}>: user does not exist"},
    {VOICE_ICLOUD, FATE_SUSPENDED, STAGE_RCPT, "550 5.1.1 <{to}>: inactive email address"},
    {VOICE_ICLOUD, FATE_HAS_MOVED, STAGE_RCPT, "550 5.1.6 recipient no longer on server: {to}"},
    {VOICE_ICLOUD, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 <{to}>: user is over quota"},
    {VOICE_DOCOMO, FATE_USER_UNKNOWN, STAGE_RCPT, "550 Unknown user {to}"},
    {VOICE_DOCOMO, FATE_MAILBOX_FULL, STAGE_RCPT, "552 Too much mail data"},
    {VOICE_DOCOMO, FATE_FILTERED, STAGE_DOT, "554 Transaction failed"},
    {VOICE_DOCOMO, FATE_LINE_TOO_LONG, STAGE_DOT, "500 Line Too Long"},
    {VOICE_DOCOMO, FATE_BUSY, STAGE_CONNECT, "421 Service not available, closing transmission channel"},
    {VOICE_AU, FATE_USER_UNKNOWN, STAGE_RCPT, "550 <{to}>: User unknown"},
    {VOICE_AU, FATE_FILTERED, STAGE_RCPT, "550 : User unknown"},
    {VOICE_SOFTBANK, FATE_USER_UNKNOWN, STAGE_RCPT, "550 Invalid recipient: <{to}>"},
    {VOICE_SOFTBANK, FATE_MAILBOX_FULL, STAGE_RCPT, "552 5.2.2 mailbox is full"},
    {VOICE_SOFTBANK, FATE_FILTERED, STAGE_RCPT, "550 refused by recipient"},
    {VOICE_POSTFIX, FATE_ACCEPT, STAGE_UNKNOWN, NULL},
};
/* clang-format on */

static const struct site *site_of_host(const char *host)
{
    for (size_t i = 0; host && i < site_count; i++)
        if (strcmp(site_table[i].host, host) == 0)
            return &site_table[i];
    return NULL;
}

struct site_domain site_domain_at(size_t nth)
{
    if (nth >= COUNT_OF(domains))
        return (struct site_domain){{NULL, 0}, NULL, NULL};
    const char *host = domains[nth].host ? domains[nth].host : domains[nth].mx;
    return (struct site_domain){slice_str(domains[nth].name), domains[nth].mx, site_of_host(host)};
}

bool site_domain_find(struct slice domain, struct site_domain *row)
{
    for (size_t i = 0; i < COUNT_OF(domains); i++) {
        if (slice_equal_caseless(domain, slice_str(domains[i].name))) {
            *row = site_domain_at(i);
            return true;
        }
    }
    return false;
}

const struct site_reply *site_reply_find(enum voice voice, enum fate fate, uint64_t pick)
{
    size_t count = 0;
    for (const struct site_reply *row = site_reply_table; row->text; row++)
        count += row->voice == voice && row->fate == fate;
    if (count == 0 && voice != VOICE_POSTFIX)
        return site_reply_find(VOICE_POSTFIX, fate, pick);
    size_t nth = count ? pick % count : 0;
    for (const struct site_reply *row = site_reply_table; row->text; row++)
        if (row->voice == voice && row->fate == fate && nth-- == 0)
            return row;
    return NULL;
}

struct slice playground_label(struct slice domain)
{
    struct site_domain row;
    return site_domain_find(domain, &row) && row.site ? slice_str(row.site->label) : SLICE("");
}

/* The fate that the local part names with "+word" at its end. */
static bool fate_named(struct slice local, enum fate *fate)
{
    ptrdiff_t plus = slice_find_last_byte(local, '+');
    if (plus < 0)
        return false;
    for (size_t i = 0; i < FATE_COUNT; i++) {
        if (slice_equal_caseless(slice_from(local, (size_t)plus + 1), fate_table[i].word)) {
            *fate = (enum fate)i;
            return true;
        }
    }
    return false;
}

enum fate playground_fate(struct slice address)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    if (at < 0)
        return FATE_HOST_UNKNOWN;
    struct site_domain row;
    if (!site_domain_find(slice_from(address, (size_t)at + 1), &row))
        return FATE_HOST_UNKNOWN;
    if (!row.host)
        return FATE_NULL_MX;
    enum fate fate;
    if (fate_named(slice_head(address, (size_t)at), &fate))
        return fate;

    char lower[320];
    size_t len = address.len < sizeof(lower) ? address.len : sizeof(lower);
    for (size_t i = 0; i < len; i++)
        lower[i] = ascii_lower(address.ptr[i]);
    unsigned lot = (unsigned)(hash_bytes(slice_of(lower, len), 0x70406b65) % 10000);
    for (size_t i = 0; i < SITE_MIX_MOST; i++) {
        if (lot < row.site->mix[i].per_10000)
            return row.site->mix[i].fate;
        lot -= row.site->mix[i].per_10000;
    }
    return FATE_ACCEPT;
}
