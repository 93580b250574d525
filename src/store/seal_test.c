/* Sealed secrets: only our key, only in their place, only whole. */
#include "store/seal.h"
#include "store/testing.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In place of the C library's: which syncs are of a folder? */
static unsigned folders_synced;
int fsync(int fd)
{
    struct stat stat;
    folders_synced += fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode);
    return (int)syscall(SYS_fsync, fd);
}

static void key_path(char path[128], char dir[64])
{
    snprintf(dir, 64, "/tmp/todoke-seal-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, 128, "%s/key", dir);
}

static void a_key_file_is_made_once_and_is_ours_alone(void **state)
{
    char path[128], dir[64];
    key_path(path, dir);
    struct seal_key first, second;
    struct fault why = {0};
    folders_synced = 0;
    assert_true(seal_key_load(&first, path, &why));
    assert_int_equal(folders_synced, 1); /* a power cut leaves the key of what was sealed by it */
    assert_true(seal_key_load(&second, path, &why));
    assert_int_equal(folders_synced, 1);
    assert_memory_equal(&first, &second, sizeof(first));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    assert_false(seal_key_load(&second, path, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 40), 0);
    assert_false(seal_key_load(&second, path, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    unlink(path);
    rmdir(dir);
}

static void what_was_sealed_opens_only_in_its_place(void **state)
{
    struct seal_key key = {.id = 7, .key = "0123456789abcdef0123456789abcde"};
    struct seal_key other_key = {.id = 7, .key = "x123456789abcdef0123456789abcde"}, other_id = key;
    other_id.id = 8;
    struct fault why = {0};
    static const char *const secrets[] = {"", "a", "a private key\nof two lines"};
    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        SCOPED(buf) sealed = BUF(1000);
        SCOPED(buf) opened = BUF(1000);
        seal(&key, SLICE("dkim_key/1"), slice_str(secrets[i]), &sealed);
        assert_int_equal(sealed.len, strlen(secrets[i]) + SEAL_OVERHEAD);
        assert_true(seal_open(&key, SLICE("dkim_key/1"), buf_slice(&sealed), &opened, &why));
        assert_slice("opened", buf_slice(&opened), slice_str(secrets[i]));
        assert_false(seal_open(&key, SLICE("dkim_key/2"), buf_slice(&sealed), &opened, &why));
        assert_false(seal_open(&other_key, SLICE("dkim_key/1"), buf_slice(&sealed), &opened, &why));
        assert_false(seal_open(&other_id, SLICE("dkim_key/1"), buf_slice(&sealed), &opened, &why));
        for (size_t bit = 0; bit < sealed.len * 8; bit++) { /* every flipped bit is seen */
            sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ 1 << bit % 8);
            assert_false(seal_open(&key, SLICE("dkim_key/1"), buf_slice(&sealed), &opened, &why));
            sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ 1 << bit % 8);
        }
        for (size_t len = 0; len < sealed.len; len++)
            assert_false(seal_open(&key, SLICE("dkim_key/1"), slice_of(sealed.ptr, len), &opened, &why));
    }
}

struct secret_work {
    struct seal_key key;
    struct secret secret;
    bool rotates;
};
static bool secret_work(struct db *db, struct fault *why, void *context)
{
    struct secret_work *work = context;
    return (!work->rotates || secret_rotate(db, why, &work->key, "link", 1)) &&
           secret_get(db, why, &work->key, "link", 1, &work->secret);
}
static void named_keys_are_made_kept_and_rotated(void **state)
{
    TEST_STORE(test, state);
    struct secret_work first = {.key = {.id = 1, .key = "k"}}, second = first, third = first;
    third.rotates = true;
    test_write(test.store, secret_work, &first);
    test_write(test.store, secret_work, &second);
    test_write(test.store, secret_work, &third);
    assert_int_equal(first.secret.count, 1);
    assert_memory_equal(&first.secret, &second.secret, sizeof(first.secret));
    assert_int_equal(third.secret.count, 2);
    assert_int_equal(third.secret.keys[0].id, 1);
    assert_memory_equal(&third.secret.keys[1], &first.secret.keys[0], sizeof(first.secret.keys[0]));
    assert_memory_not_equal(third.secret.keys[0].bytes, third.secret.keys[1].bytes, SECRET_BYTES);
    second.key.key[0] = 'x';
    struct fault why = {0};
    assert_false(test_write_try(test.store, secret_work, &second, &why));
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_file_is_made_once_and_is_ours_alone),
        cmocka_unit_test(what_was_sealed_opens_only_in_its_place),
        ON_BOTH(named_keys_are_made_kept_and_rotated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
