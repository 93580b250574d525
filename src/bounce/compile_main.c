/* compile_main.c - the build's tool: data/bounce and data/words as a C file with the blob in it
 *
 * usage: compile-rules OUT.c DEPFILE DIRECTORY... */
#include "bounce/compile.h"
#include <dirent.h>
#include <stdio.h>

static bool file_load(const char *path, struct buf *text)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    char chunk[65536];
    size_t got;
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_append(text, slice_of(chunk, got));
    fclose(file);
    return buf_ok(text);
}

static bool blob_print(const char *path, struct slice blob)
{
    FILE *out = fopen(path, "wb");
    if (!out)
        return false;
    fputs("/* made by compile-rules from data/bounce and data/words */\n#include \"bounce/rules_private.h\"\n\n"
          "static const uint64_t blob[] = {\n",
          out);
    for (size_t at = 0; at < blob.len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, blob.ptr + at, blob.len - at < 8 ? blob.len - at : 8);
        fprintf(out, "0x%llx,%s", (unsigned long long)word, at % 64 == 56 ? "\n" : "");
    }
    fprintf(out, "};\n\nstruct slice rules_embedded(void)\n{\n    return slice_of(blob, %zu);\n}\n", blob.len);
    return fclose(out) == 0;
}

enum { FILES_MAX = 1000 };

struct input {
    struct compile_file files[FILES_MAX];
    struct buf texts[FILES_MAX];
    char paths[FILES_MAX][512];
    size_t count;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All *.yaml of a directory, in order of name. */
static bool directory_load(const char *directory, struct input *in)
{
    DIR *open = opendir(directory);
    if (!open)
        return false;
    size_t from = in->count;
    struct dirent *entry;
    while (in->count < FILES_MAX && (entry = readdir(open))) {
        if (entry->d_name[0] != '.' && slice_ends(slice_str(entry->d_name), SLICE(".yaml")))
            snprintf(in->paths[in->count++], sizeof(in->paths[0]), "%s/%s", directory, entry->d_name);
    }
    closedir(open);
    const char *names[FILES_MAX];
    for (size_t i = from; i < in->count; i++)
        names[i] = in->paths[i];
    qsort(names + from, in->count - from, sizeof(*names), by_path);
    for (size_t i = from; i < in->count; i++) {
        buf_init(&in->texts[i], 16 << 20);
        if (!file_load(names[i], &in->texts[i]))
            return false;
        in->files[i] = (struct compile_file){names[i], buf_slice(&in->texts[i])};
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: compile-rules OUT.c DEPFILE DIRECTORY...\n", stderr);
        return 2;
    }
    struct input *in = NEW(struct input);
    int status = 0;
    FILE *dependencies = fopen(argv[2], "wb");
    if (!dependencies)
        return 3;
    fprintf(dependencies, "%s:", argv[1]);
    for (int i = 3; i < argc && !status; i++) {
        fprintf(dependencies, " %s", argv[i]);
        if (!directory_load(argv[i], in)) {
            fprintf(stderr, "compile-rules: cannot read %s\n", argv[i]);
            status = 3;
        }
    }
    for (size_t i = 0; i < in->count; i++)
        fprintf(dependencies, " %s", in->files[i].path);
    fputc('\n', dependencies);
    fclose(dependencies);
    struct fault why = {0};
    SCOPED(buf) blob = BUF(COMPILE_BLOB_MAX);
    if (!status && (!rules_compile(in->files, in->count, NULL, &blob, &why) ||
                    (!blob_print(argv[1], buf_slice(&blob)) && !fault_errno(&why, "%s", argv[1])))) {
        fprintf(stderr, "compile-rules: %s\n", why.text);
        status = fault_exit_status(&why);
    }
    for (size_t i = 0; i < in->count; i++)
        buf_release(&in->texts[i]);
    free(in);
    return status;
}
