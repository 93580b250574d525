"""X14: the program is built so that a mistake in it is hard to use: by what the linker wrote into it, and by how each file of it was compiled.

Control-flow protection (CET) is not asked for: neither Debian 12's kernel nor its C library has it for programs."""
import json
import os
import re
import subprocess

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.path.realpath(os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke")))
BUILD = os.path.dirname(os.path.dirname(TODOKE))
FLAGS = ("-O3", "-D_FORTIFY_SOURCE=3", "-fPI[EC]", "-fstack-protector-strong", "-fstack-clash-protection", "-Werror", "-Wformat=2")


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout


with Tap() as tap:
    header, segments, dynamic = said("readelf", "-hW", TODOKE), said("readelf", "-lW", TODOKE), said("readelf", "-dW", TODOKE)
    symbols = set(re.findall(r"UND (\w+)", said("readelf", "--dyn-syms", "-W", TODOKE)))
    flags = " ".join(re.findall(r"\(FLAGS(?:_1)?\)(.*)", dynamic))
    tap.ok(re.search(r"Type:\s+DYN", header) and "PIE" in flags, "it may be loaded anywhere (PIE)", header + dynamic)
    tap.ok("GNU_RELRO" in segments and "BIND_NOW" in flags and re.search(r"\bNOW\b", flags), "its tables are read-only from the start (RELRO, BIND_NOW)", flags)
    stack = re.search(r"GNU_STACK.*", segments)
    tap.ok(stack and re.search(r"\sRW\s", stack[0]), "no code runs on the stack", str(stack and stack[0]))
    tap.equal(re.findall(r"LOAD.*\sRWE\s.*", segments), [], "no memory is for writing and for running")
    tap.ok("TEXTREL" not in dynamic and not re.search(r"R(?:UN)?PATH", dynamic), "no code is changed at start, no library is looked for where others write", dynamic)
    tap.ok("__stack_chk_fail" in symbols, "functions guard their return address (stack protector)")
    tap.ok({"__memcpy_chk", "__vsnprintf_chk"} <= symbols, "copies know how large their target is (FORTIFY_SOURCE)", str(sorted(name for name in symbols if name.endswith("_chk"))))
    tap.equal(sorted(symbols & {"gets", "strcpy", "strcat", "sprintf", "vsprintf", "strtok", "system", "popen", "tmpnam", "mktemp", "alloca"}), [],
              "it calls nothing that cannot be called safely")

    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        ours = [entry for entry in json.load(file) if re.match(r"src/(todoke|libtodoke[\w-]*\.a)\.p/", entry.get("output", ""))]
    bare = [f"{entry['file']} lacks {flag}" for entry in ours for flag in FLAGS if not re.search(f" {flag} ", entry["command"])]
    tap.ok(len(ours) > 300, "the build says how each file was compiled", f"{len(ours)} files in {BUILD}")
    tap.equal(bare[:5], [], f"{len(ours)} files, each with {' '.join(FLAGS)}")
    off = [entry["file"] for entry in ours if re.search(r"-fno-stack-protector|-fno-pi[ce]\b|-w |-Wno-error|execstack|-DNDEBUG", entry["command"])]
    tap.equal(off, [], "no file is excepted; asserts are on")
