/* store_postgres.c - PostgreSQL by libpq: arrives with the next commit */
#include "store/backend.h"

struct db *postgres_db_open(const char *where, enum db_use use, struct fault *why)
{
    fault_set(why, FAULT_INPUT, "store: this build does not speak to PostgreSQL yet");
    return NULL;
}
