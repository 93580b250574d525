#include "base/test.h"
#include "base/tree.h"

static const struct {
    const char *thought, *yaml, *fault;
} broken[] = {
    {"a bracket that is never closed", "a: 1\nb: [1, 2\n", "x.yaml line 3: "},
    {"a key deeper than its map", "a: 1\n  b: 2\n", "x.yaml line 2: "},
    {"no UTF-8", "a: \xff\xfe\xff\n", "x.yaml line 1: "},
};

static void test_broken(void **state)
{
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        SCOPED(tree) tree = {0};
        struct fault why;
        if (tree_read(&tree, "x.yaml", slice_str(broken[i].yaml), &why))
            fail_msg("%s: read", broken[i].thought);
        if (!slice_starts(slice_str(why.text), slice_str(broken[i].fault)))
            fail_msg("%s: %s", broken[i].thought, why.text);
    }
}

static void test_walk(void **state)
{
    SCOPED(tree) tree = {0};
    struct fault why;
    const yaml_node_t *key, *value;
    assert_true(
        tree_read(&tree, "x.yaml", SLICE("name: a\nlist:\n  - one\n  - two\nmap: {deep: 1}\nalone: only\n"), &why));
    const yaml_node_t *root = tree_root(&tree), *list = tree_member(&tree, root, "list"),
                      *alone = tree_member(&tree, root, "alone");
    assert_true(tree_is_map(root) && tree_is_list(list) && tree_is_scalar(alone));
    assert_true(slice_equal(tree_text(tree_member(&tree, root, "name")), SLICE("a")));
    assert_null(tree_member(&tree, root, "nobody"));
    assert_null(tree_member(&tree, list, "name"));
    assert_int_equal(tree_count(list), 2);
    assert_true(slice_equal(tree_text(tree_item(&tree, list, 1)), SLICE("two")));
    assert_null(tree_item(&tree, list, 2));
    assert_int_equal(tree_count(alone), 1); /* a scalar is the only item of itself */
    assert_ptr_equal(tree_item(&tree, alone, 0), alone);
    assert_int_equal(tree_line(alone), 6);
    assert_true(tree_pair(&tree, root, 3, &key, &value) && value == alone);
    assert_false(tree_pair(&tree, root, 4, &key, &value));
    assert_false(tree_complain(&tree, list, "%d too many", 7));
    assert_string_equal(why.text, "x.yaml line 3: 7 too many");
}

static void test_fields(void **state)
{
    static const struct {
        const char *thought, *yaml, *fault; /* NULL: none */
    } rows[] = {
        {"all", "name: a\nabout: b\n", NULL},
        {"in any order", "about: b\nname: a\n", NULL},
        {"what may be absent", "name: a\n", NULL},
        {"what may not", "about: b\n", "x.yaml line 1: \"name\" is missing"},
        {"an unknown key", "name: a\nnmae: b\n", "x.yaml line 2: unknown key \"nmae\""},
        {"a key that is no word", "name: a\n[b]: c\n", "x.yaml line 2: unknown key \"\""},
        {"twice", "name: a\nabout: b\nname: a\n", "x.yaml line 3: \"name\" is written twice"},
        {"twice, and empty", "name:\nname:\n", "x.yaml line 2: \"name\" is written twice"},
        {"a list", "- a\n", "x.yaml line 1: \"key: value\" lines are wanted here"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(tree) tree = {0};
        struct fault why;
        struct tree_field fields[] = {{"name", true}, {"about"}};
        assert_true(tree_read(&tree, "x.yaml", slice_str(rows[i].yaml), &why));
        assert_int_row(rows[i].thought, tree_fields(&tree, tree_root(&tree), fields, COUNT_OF(fields)), !rows[i].fault);
        if (rows[i].fault)
            assert_slice(rows[i].thought, slice_str(why.text), slice_str(rows[i].fault));
        else
            assert_slice(rows[i].thought, tree_text(fields[0].value), SLICE("a"));
    }
}

static void test_nothing(void **state)
{
    static const char *const empty[] = {"", "# only a comment\n", "---\n...\n"};
    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        SCOPED(tree) tree = {0};
        struct fault why;
        const yaml_node_t *key, *value;
        assert_true(tree_read(&tree, "x.yaml", slice_str(empty[i]), &why));
        const yaml_node_t *root = tree_root(&tree);
        assert_false(tree_is_map(root) || tree_is_list(root));
        assert_int_equal(tree_text(root).len, 0);
        assert_false(tree_pair(&tree, root, 0, &key, &value));
        assert_null(tree_member(&tree, root, "a"));
        assert_int_equal(tree_count(NULL), 0);
        assert_int_equal(tree_line(NULL), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
