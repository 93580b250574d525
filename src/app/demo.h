/* demo.h - `todoke demo`: what runs, and who tells of it (cmd_demo.c, demo_world.c, demo_story.c) */
#ifndef TODOKE_APP_DEMO_H
#define TODOKE_APP_DEMO_H

#include "app/config.h"
#include "app/playground.h"
#include "app/service.h"
#include "base/arena.h"
#include "bounce/words.h"
#include "mailauth/dkim_key.h"

enum { DEMO_CAMPAIGNS = 2 };

struct demo {
    struct jail *jail;
    /* arguments */
    const char *dir, *store_url, *http, *mail_in, *lang_given;
    bool is_once;
    enum lang lang;
    /* what runs */
    struct world world;
    struct config config;
    struct service *service;
    struct playground *playground;
    struct db *reader;
    struct dkim_key *fresh; /* of the brand, if there is none yet */
    struct arena arena;
    struct buf dkim_record;
    struct playground_sender sender;
    uint64_t brand_id, list_id, campaigns[DEMO_CAMPAIGNS];
    struct buf secret;
    char made_dir[64];
    bool is_tty;
};

/* What the demo itself says, in one of two languages; at once. */
__attribute__((format(printf, 2, 4), format(printf, 3, 4))) void demo_tell(const struct demo *demo, const char *ja,
                                                                           const char *en, ...);
/* SIGTERM or SIGINT has come; both are blocked. */
bool demo_is_stopped(void);

/* ── demo_world.c: receivers, their DNS, and a server, on this machine only ── */

NODISCARD bool demo_start(struct demo *demo, struct fault *why);
/* Also half started; a directory that the demo made itself goes. */
void demo_end(struct demo *demo);
/* A file of this name in the demo's directory. */
struct slice demo_file(struct demo *demo, const char *name);
/* "Gmail-like" says more than the domain; what the other receivers are up to is for the reader to find out. */
struct slice demo_provider_label(struct slice domain);

/* ── demo_story.c ── */

/* Contacts, two campaigns, their reports, and the check against what the receivers did. *all_is_well: it agrees. */
NODISCARD bool demo_story(struct demo *demo, bool *all_is_well, struct fault *why);

#endif
