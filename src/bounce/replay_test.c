/* The fuzz target of bounce/read.c on its seeds and their mutants, ten seconds in every test run (F10). */
#include "base/replay.h"
#include "bounce/read_fuzz.c"

static void seeds_and_mutants(void **state)
{
    struct replay *replay = NEW(struct replay);
    replay_read(replay, "tests/corpus/bounce-read");
    replay_read(replay, "tests/corpus/read");
    replay_read(replay, "tests/mails");
    replay_run(replay, LLVMFuzzerTestOneInput);
    free(replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seeds_and_mutants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
