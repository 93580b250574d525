/* slot.h - one connection of a destination, and the conversation on it
 *
 * Belongs to the destination's worker. slot.c has its states, and what each move needs. */
#ifndef TODOKE_DELIVER_SLOT_H
#define TODOKE_DELIVER_SLOT_H

#include "deliver/destination.h"
#include "deliver/egress.h"
#include "net/stream.h"
#include "queue/ledger.h"
#include "smtp/client.h"

struct worker;

enum slot_state {
    SLOT_CONNECTING, /* the stream is not open yet */
    SLOT_TALKING,    /* until READY */
    SLOT_OPEN,       /* takes recipients */
    SLOT_CLOSING,    /* quits when what is under way has ended */
    SLOT_LEAVING,    /* has quit, and is in no destination any more: still a connection, until the peer ends it too */
};
enum {
    SLOT_UNDER_WAY = 2,
    /* R16: so many addresses are tried for a connection, and so many of one host before the next host's turn */
    SLOT_ADDRESSES_MOST = 10,
    SLOT_ADDRESSES_OF_HOST = 4,
    SLOT_LEAVE_MS = 2000 /* for the peer to hear our goodbye */
};
struct several;
struct slot {
    struct worker *worker;
    struct destination *destination; /* NULL: it leaves */
    struct egress *egress;
    bool has_stood;       /* counted in egress->standing */
    bool is_source_fault; /* our own address could not be used: nobody else's fault */
    bool has_turn;        /* while the site is gated: it may take one now */
    bool is_outdated;     /* the route wants other TLS by now: it takes nothing more */
    bool has_had_enough;  /* the host takes no more on this connection, and may on another */
    struct route_kept *kept;
    struct site *site;
    struct slot *next, **place; /* of the destination, or of the worker's that leave; what points to this one */
    enum slot_state state;
    struct stream *stream;
    struct smtp_client *client;
    struct recipient *under_way[SLOT_UNDER_WAY]; /* handed to the client, oldest first */
    int under_way_count;
    struct several
        *several; /* a transaction for several recipients: alone on its connection, counted as one under way */
    int sent;     /* mails handed over on this connection, each recipient's counted */
    bool any_delivered;
    size_t host, address;          /* of the route: where it is connected; the address as slot_address has it */
    unsigned tried, tried_of_host; /* addresses that it was not connected by */
    unsigned spin, round;          /* by turns: with which of equal hosts it begins; and each time round, */
    bool begins_other;             /* with the other family of addresses than the route has first */
    unsigned step, span;           /* of the conversation: its timer runs for these, */
    time_ms span_until;            /* and the span has until here; 0: for ever */
    struct timer idle;
    struct buf remote; /* "mx.example.jp[192.0.2.1]" */
    bool is_over, is_in_clear, was_tls_failure;
    struct security security;  /* what this connection must be */
    enum tls_fault tls_fault;  /* was_tls_failure: what was wrong */
    struct tls_info *tls_info; /* once TLS stands */
    char *opened_for;          /* the domain of a recipient that it was opened for */
    char *policy_domain;       /* whose session this counts as (RFC 8460) */
    bool hangs_up;             /* a mail that must not go was begun: hang up as soon as it is the only one */
    struct reply_kept {
        int code;
        uint16_t status[3];
        enum stage stage;
        struct buf text;
    } last_words,          /* why it ended, when it ended before READY */
        for_now;           /* ... at a place before that one, where it may be otherwise soon: no 5xx */
    struct buf for_now_at; /* there; "": there is none */
};

/* flow.c */
/* May this slot take the next recipient of its destination now? False: the site is pumped again when it may be. */
bool slot_may_send(struct slot *slot);
/* May this one go with those that the slot has just taken, and nobody who is before it loses a turn? */
bool slot_may_send_also(struct slot *slot, const struct recipient *recipient);

/* slot_connect.c: from nothing to a conversation, and what the stream tells */
void slot_open(struct worker *worker, struct destination *destination, struct egress *egress);
/* It never came to a conversation: another address of the route is tried; the last one to fail speaks for the hosts,
 * and the slot is gone. */
void slot_failed(struct slot *slot);
void slot_free(struct slot *slot); /* nothing is under way */
/* It has quit. Until the peer has ended the connection too, but for two seconds at most, it counts as one: who limits
 * connections counts those that it has not closed (R28). Nothing is under way, its stream is open. */
void slot_leave(struct slot *slot);

/* slot_place.c: at which host, by which address */
/* The address in the slot's turn at a host: of those of one family each connection begins with another one, and at a
 * host that has both families they begin with the one and the other in turns (R17). */
const struct ip *slot_address(const struct slot *slot, const struct route_host *host, size_t address);
/* Before the first slot_place: at which of the best hosts it begins. */
void slot_place_begin(struct slot *slot);
/* Where the slot is to connect next, from where it stands on: hosts that policy refuses are passed over, and addresses
 * that our source cannot reach. False: none is left, and last_words say why. */
bool slot_place(struct slot *slot);
/* On to the next address; the next host, when this one has no more or is_host_wide. False: there is none. */
bool slot_next_address(struct slot *slot, bool is_host_wide);
/* R17: who refuses us in its first words may know nothing against our address of the other family. From now on that one
 * is used for a while. False: there is no other. */
bool slot_other_family(struct slot *slot);
/* Nobody answered at its address: that family is left out for a while, where there is the other. */
void slot_family_is_dead(struct slot *slot);

/* slot.c: the conversation */
/* It could be given a recipient. */
bool slot_has_room(const struct slot *slot);
/* Something changed for it: a recipient is ready, a mark was committed. The slot may be gone afterwards; likewise: */
void slot_run(struct slot *slot);
/* Bytes came: takes those that it understands. */
void slot_hear(struct slot *slot, struct slice *received);
/* The stream stands, and the conversation begins. */
void slot_begin(struct slot *slot);
/* The stream, which had a conversation, has ended. */
void slot_stream_ended(struct slot *slot, const char *why);
/* It is over, for whatever reason. */
void slot_end(struct slot *slot);
void slot_marked(struct slot *slot, struct recipient *recipient, enum ledger_marked result);
/* R25: the host refused this one because the connection has had its share, or because it cannot do TLS and leaves: then
 * it closes, and the pace hears nothing. */
bool slot_has_had_enough(struct slot *slot, const struct smtp_client_event *event);
/* With nothing under way it ends in the next turn of the loop. */
void slot_leave_if_idle(struct slot *slot);
/* End it now: what is under way becomes unsent or in doubt. The slot is gone afterwards. */
void slot_abort(struct slot *slot);
/* The conversation ended before this recipient's dot: another connection takes it, unless that goes on and on
 * (is_first: nothing had been sent on it before). What ends at STARTTLS does not: the next one is in clear. */
void slot_unsent(struct slot *slot, struct recipient *recipient, const struct reply *reply, enum stage stage,
                 bool is_first);
/* It was taken and did not go: back in front of the queue, its mark taken back. */
void recipient_goes_back(struct worker *worker, struct recipient *recipient);
/* Keep why the conversation ended, for when it is the last one to end. */
void slot_keep_last_words(struct slot *slot, const struct reply *reply, enum stage stage);
struct reply reply_of_kept(const struct reply_kept *kept); /* its text stays in `kept` */
/* It goes on elsewhere: the words, if they are no 5xx, are kept for when there is nothing but a 5xx. */
void slot_keep_for_now(struct slot *slot);
/* A time to wait, as the engine's options scale it. */
time_ms slot_scaled(const struct slot *slot, time_ms wait);

/* slot_tls.c: the conversation's TLS, as policy wants it */
struct smtp_client *slot_client_new(const struct slot *slot);
bool slot_begins_with_tls(const struct slot *slot);
uint16_t slot_port(const struct slot *slot);
/* It was a smart host that refused us, our password perhaps: no receiver's word, the mail waits. Changes last_words. */
bool slot_relay_failed(struct slot *slot);
void slot_start_tls(struct slot *slot);
void slot_has_tls(struct slot *slot, const struct tls_info *info);
/* READY: the session counts. */
void slot_tls_settled(struct slot *slot);
/* R31: the host refused STARTTLS, and left: for a while it is met in clear. */
void slot_clear(struct slot *slot);
/* TLS did not come about: counted, and last_words say who wanted it. Gives whether clear text is allowed now (R31). */
bool slot_tls_failed(struct slot *slot);
/* This host may not be used; counted. */
void slot_tls_refused(struct slot *slot);
/* Would its destination's route, as it is known now, not have this connection as it is (R18)? */
bool slot_is_outdated(const struct slot *slot);

#endif
