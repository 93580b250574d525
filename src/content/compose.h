/* compose.h - a content and a recipient become the complete mail in wire form, signed
 *
 * content_compile does once, for a content version, whatever does not depend on the recipient: templates are parsed,
 * the text twin made, the static stretches of both bodies transfer-encoded, the static headers written. compose_mail
 * then does the rest for one recipient. The same inputs give the same bytes, so a retry is the same mail (M26, R22).
 *
 * What is written: Date, From, To, Reply-To, Subject, Message-ID (from the delivery id), List-Unsubscribe and -Post
 * (M46), List-Id, Feedback-ID (M47), MIME-Version, multipart/alternative of text and HTML (M30, S59), lines at most 76
 * octets in the bodies, CRLF only. DKIM-Signatures stand in front. */
#ifndef TODOKE_CONTENT_COMPOSE_H
#define TODOKE_CONTENT_COMPOSE_H

#include "content/liquid.h"
#include "mailauth/dkim_sign.h"

/* As the person wrote it. Templates are Liquid, UTF-8. */
struct content_source {
    struct slice subject;      /* template */
    struct slice preheader;    /* template; shown by mail programs beside the subject; empty: none */
    struct slice html;         /* template; empty: a text-only mail */
    struct slice text;         /* template; empty: made from html */
    struct slice from_name;    /* template */
    struct slice from_address; /* local@a-label */
    struct slice reply_to;     /* address; empty: none */
    struct slice list_id;      /* "news.example.jp", goes into brackets; empty: none */
    struct slice list_name;    /* in front of it; may be empty */
};

struct content;
/* INPUT: "subject, line 1, column 9: ..." (subject, preheader, html, text, from_name, from_address, reply_to, list_id).
 */
NODISCARD bool content_compile(const struct content_source *source, struct content **content, struct fault *why);
void content_free(struct content *content);
/* The text template in use: as given, or as made from the HTML. */
struct slice content_text_template(const struct content *content);

/* One recipient. Templates see `data`'s members, and: unsubscribe_url, email (unless data has them itself). */
struct compose_job {
    uint64_t delivery_id; /* Message-ID and boundaries derive from it */
    time_ms date;         /* pinned at the first time on the wire */
    int date_offset_minutes;
    struct slice to_address;         /* as written to RCPT TO */
    struct slice to_name;            /* may be empty */
    struct slice message_domain;     /* right side of the Message-ID: our domain */
    struct slice unsubscribe_url;    /* https, one-click (RFC 8058); empty: no List-Unsubscribe-Post */
    struct slice unsubscribe_mailto; /* "mailto:..."; may be empty */
    struct slice feedback_id;        /* "campaign:brand:kind:sender" ; may be empty */
    struct liquid_value data;
};

/* Where mails are composed; one for each thread, reused: keeps its memory. A zeroed one is ready. */
struct composed {
    struct buf wire; /* room for signatures first, then the mail */
    struct buf line, scratch, fields;
    struct arena arena;
    size_t start;          /* of the mail in wire, signatures included */
    size_t unsigned_start; /* of the mail without them */
};
void composed_release(struct composed *composed);
/* The mail as it goes on the wire (before dot-stuffing); valid until the next compose_mail. */
static inline struct slice composed_mail(const struct composed *composed)
{
    return slice_of(composed->wire.ptr + composed->start, composed->wire.len - composed->start);
}

/* signer NULL: unsigned. INPUT: a rendering fault, with template, line and column (a content_error of this delivery);
 * LIMIT: a bound was reached. */
NODISCARD bool compose_mail(const struct content *content, const struct compose_job *job, struct dkim_signer *signer,
                            struct composed *composed, struct fault *why);

#endif
