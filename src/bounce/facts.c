#include "bounce/facts.h"
void facts_find(struct slice text, struct arena *arena, struct facts *facts)
{
    facts->count = 0;
}
