/* dkim_key_private.h - the inside of a key, for the files of DKIM only */
#ifndef TODOKE_MAILAUTH_DKIM_KEY_PRIVATE_H
#define TODOKE_MAILAUTH_DKIM_KEY_PRIVATE_H

#include "mailauth/dkim_key.h"
#include <openssl/evp.h>

struct dkim_key {
    EVP_PKEY *pkey;
    enum dkim_algorithm algorithm;
};

#endif
