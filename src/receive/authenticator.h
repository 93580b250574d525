/* authenticator.h - receive/ asks upwards who somebody is and what he may send; app/ fills it in
 *
 * On the loop's thread; answers at once, from memory or by one read of the store. */
#ifndef TODOKE_RECEIVE_AUTHENTICATOR_H
#define TODOKE_RECEIVE_AUTHENTICATOR_H

#include "base/time.h"
#include "smtp/scram.h"

struct submitter {
    uint64_t key_id;   /* 0: a network that is trusted */
    uint64_t hour_id;  /* the key whose hour it draws on: its own, or one hour for all that it made */
    unsigned per_hour; /* recipients; 0: no limit */
};

enum who_found {
    WHO_FOUND,
    WHO_NOBODY, /* unknown name, wrong key, expired, or without the right to submit: nobody learns which */
    WHO_LATER,  /* the store cannot be asked */
};

struct authenticator {
    void *self;
    enum who_found (*check)(void *self, struct slice user, struct slice secret, struct submitter *who);
    /* Keys for an exchange; for NOBODY such as look like anybody's. */
    enum who_found (*scram)(void *self, struct slice user, struct scram_keys *keys, struct submitter *who);
    /* Whose mail is this? WHO_NOBODY: he may not send from that domain (or not any more). */
    enum who_found (*brand)(void *self, const struct submitter *who, struct slice from_domain, uint64_t *brand_id);
};

#endif
