/* backup.h - the whole store in one file, and back: of a running server, from either store into either
 *
 * One snapshot (a read transaction) is read table by table by the SQL of db.h, so a backup is the same whichever store
 * it comes from, and an index that is damaged is made anew by a restore. The writer does not wait for it; SQLite's log
 * (WAL) cannot begin anew before the snapshot is over, and grows meanwhile by what is written meanwhile.
 *
 * The file (store/backup_file.h) carries, after each other: for each table 'T', its name, its columns (name; i, t or b
 * for integer, text, bytes); for each row 'R' and its values; 'E' and the count of rows; at the end 'Z' and the count
 * of all. Not in it: what belongs to processes that live now (leases, nodes, permits, the notice board), and the key
 * file.
 *
 * A restore loads the schema as it was, then migrates it. SQLite: into PATH.restoring, which takes PATH's place when it
 * is complete; what stood there is kept as PATH.before-restore-SECONDS. PostgreSQL: in one transaction. So whatever
 * crashes, there is the old store or the new one. */
#ifndef TODOKE_STORE_BACKUP_H
#define TODOKE_STORE_BACKUP_H

#include "store/backup_file.h"

/* How far it is, now and then: rows, and octets of the file. */
struct backup_watch {
    void (*progress)(struct backup_watch *watch, uint64_t rows, uint64_t octets);
};

struct backup_facts {
    struct backup_head head;
    uint64_t tables, rows, octets;
};

/* Looked at, or changed (restore), inside the transaction: before it ends. False gives all of it up. */
typedef bool (*backup_check)(void *context, struct db *db, struct fault *why);

/* On a reader's connection that is in no transaction, into an empty file. key NULL: in the clear. check, watch: may be
 * NULL. INPUT: the key file is not the one that sealed the store's secrets. */
NODISCARD bool backup_write(struct db *reader, int file, const struct seal_key *key, backup_check check, void *context,
                            struct backup_watch *watch, struct backup_facts *facts, struct fault *why);

/* Read all of it and believe nothing: head, seals, form, counts. */
NODISCARD bool backup_read(int file, const struct seal_key *key, struct backup_watch *watch, struct backup_facts *facts,
                           struct fault *why);

struct restore {
    const char *store; /* the URL */
    bool may_replace;  /* a store that holds something (--force); one that is in use never */
    backup_check check;
    void *context;
    struct backup_watch *watch;
    char kept[4200]; /* out: where the old SQLite file is now; "" : there was none */
};
/* INPUT: as backup_read; a newer schema; the store is in use, or not empty. WORLD: the store, the disk. */
NODISCARD bool backup_restore(int file, const struct seal_key *key, struct restore *restore, struct backup_facts *facts,
                              struct fault *why);

#endif
