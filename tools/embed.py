#!/usr/bin/env python3
"""embed.py OUT FOLDER=PREFIX... - write the C file behind src/base/embedded.h: every file below FOLDER as PREFIX/path.

Called by meson at each build; OUT is rewritten only when a file's name or content has changed (a digest of the content stands
in a comment, so that the object is made anew although .incbin reads the bytes). A FOLDER that does not exist is empty."""
import hashlib
import os
import sys


def files_of(folder, prefix):
    for top, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            path = os.path.join(top, name)
            if not name.startswith("."):
                yield f"{prefix}/{os.path.relpath(path, folder)}", os.path.abspath(path)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main():
    out, pairs = sys.argv[1], [pair.split("=", 1) for pair in sys.argv[2:]]
    files = sorted((name.encode(), name, path) for folder, prefix in pairs for name, path in files_of(folder, prefix))
    lines = ['#include "base/embedded.h"', ""]
    for number, (_, name, path) in enumerate(files):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        lines += [f"/* {digest} */",
                  '__asm__(".section .rodata\\n"',
                  f'        "embedded_{number}:\\n.incbin " {quoted(quoted(path))} "\\n.byte 0\\n"',
                  f'        "embedded_end_{number}:\\n.previous\\n");',
                  f"extern const char embedded_{number}[], embedded_end_{number}[];"]
    lines += ["", "const struct embedded_file embedded_table[] = {"]
    lines += [f"    {{SLICE_INIT({quoted(name)}), embedded_{number}, embedded_end_{number}}},"
              for number, (_, name, _) in enumerate(files)]
    lines += ["    {{NULL, 0}, NULL, NULL},", "};", f"const size_t embedded_count = {len(files)};", ""]
    text = "\n".join(lines)
    try:
        with open(out, encoding="utf-8") as old:
            if old.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(out, "w", encoding="utf-8") as file:
        file.write(text)


main()
