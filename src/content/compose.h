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
#include "mailauth/token.h"

/* A header of the sender's own. The name is a token that is not one of ours (content_header_is_free); the value is
 * text, whatever stands in it: controls become spaces. */
struct content_header {
    struct slice name, value;
};
/* Is it a header a sender may set: a token, and none of those that we write ourselves or that say who we are? */
bool content_header_is_free(struct slice name);

/* A file that goes with the mail. */
struct content_file {
    struct slice name;       /* UTF-8 */
    struct slice type;       /* "application/pdf": tokens; empty: application/octet-stream */
    struct slice bytes;      /* decoded */
    struct slice content_id; /* shown inline where the HTML says cid:...; empty: an attachment */
};

/* A file for download (hosted/hosted.h). */
struct content_link {
    uint64_t file_id;
    struct slice name;
    uint64_t size_bytes;
    time_ms expires;
};

/* As the person wrote it. Templates are Liquid, UTF-8. */
struct content_source {
    struct slice subject;                 /* template */
    struct slice preheader;               /* template; shown by mail programs beside the subject; empty: none */
    struct slice html;                    /* template; empty: a text-only mail */
    struct slice text;                    /* template; empty: made from html */
    struct slice from_name;               /* template */
    struct slice from_address;            /* local@a-label */
    struct slice reply_to;                /* address; empty: none */
    struct slice list_id;                 /* "news.example.jp", goes into brackets; empty: none */
    struct slice list_name;               /* in front of it; may be empty */
    const struct content_header *headers; /* at most CONTENT_HEADERS_MAX */
    size_t header_count;
    const struct content_file *files; /* at most CONTENT_FILES_MAX */
    size_t file_count;
    const struct content_link *links; /* files that go as links, in a block at the end; at most CONTENT_FILES_MAX */
    size_t link_count;
    bool counts_clicks; /* links of the HTML lead through us (content/links.h) */
    bool counts_opens;  /* a pixel at the end of the HTML */
};

enum {
    CONTENT_HEADERS_MAX = 30,
    CONTENT_HEADER_NAME_MAX = 100,   /* octets */
    CONTENT_HEADER_VALUE_MAX = 4000, /* octets */
    CONTENT_FILES_MAX = 50,
    CONTENT_FILES_BYTES_MAX = 16 << 20, /* all files together */
};

struct content;
/* INPUT: "subject, line 1, column 9: ..." (subject, preheader, html, text, from_name, from_address, reply_to, list_id,
 * headers[2], files[0]). */
NODISCARD bool content_compile(const struct content_source *source, struct content **content, struct fault *why);
void content_free(struct content *content);

/* One recipient. Templates see `data`'s members, and: unsubscribe_url, preferences_url, email, file (unless data
 * has them itself). file["name"] is a file for download with url, name, size (for people), bytes, expires (seconds) and
 * until (for people). */
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
    /* Counted links are link_base/c/<token> and link_base/o/<token>; needed where the content counts. */
    const struct token_ring *ring;
    struct slice link_base;
    time_ms links_expire;
    struct liquid_value data;
    /* The brand's file of that name; its texts live until the next call. False: there is none (kind NONE), or why.
     * NULL: there are none. */
    bool (*find_file)(void *context, struct slice name, struct content_link *link, struct fault *why);
    void *file_context;
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
