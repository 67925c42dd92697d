#!/usr/bin/python3
"""Checks the shape of the tree: who includes whom, what a connector folder holds, sizes, top-level names.

Run without arguments from anywhere; prints one line per finding and exits 1 if there are any.
`--self-test` shows that each check can fail.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES_MAX = 400
TEST_LINES_MAX = 600
COLUMNS_MAX = 100

TOP_LEVEL = {
    "CMakeLists.txt", "agent", "connectors", "buffer", "config", "tests", "packaging", "docs",
    "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CMakePresets.json",
}

# room -> rooms of ours that it may include besides itself
MAY_INCLUDE = {
    "agent/base": set(),
    "buffer": {"agent/base"},
    "config": {"agent/base"},
    "connectors/api": {"agent/base", "config"},
    "connectors/support": {"agent/base", "config", "connectors/api"},
    "connectors/*": {"agent/base", "config", "connectors/api", "connectors/support"},
    "agent/pipeline": {"agent/base", "config", "connectors/api", "buffer"},
    "agent/forward": {"agent/base", "config", "buffer"},
    "agent/plugin_host": {"agent/base", "config", "connectors/api"},
    "agent/daemon": None,  # all
    "agent/cli": None,
    "tests": None,
}
# A foreign header may be included in these files only.
OWNERS = {
    "lmdb.h": ("buffer/lmdb.hpp", "buffer/lmdb.cpp"),
    "mqtt/": ("agent/forward/mqtt_",),
    "MQTTAsync.h": ("agent/forward/mqtt_",),
    "yaml-cpp/": ("config/yaml.cpp", "config/yaml.hpp"),
    "spdlog/": ("agent/base/log.cpp",),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def room_of(path):
    parts = path.split("/")
    if parts[0] in ("agent", "connectors") and len(parts) > 1:
        return "/".join(parts[:2])
    return parts[0]


def is_test(path):
    return path.startswith("tests/") or path.endswith(("_test.cpp", "_bench.cpp"))


def include_findings(path, text):
    room = room_of(path)
    generic = room if room in MAY_INCLUDE else "connectors/*"
    for kind, name in INCLUDE.findall(text):
        for header, owners in OWNERS.items():
            foreign = name == header or (header.endswith("/") and name.startswith(header))
            if foreign and not path.startswith(owners) and not (is_test(path)):
                yield f"{path}: <{name}> belongs to {owners[0]}"
        if kind == "<":
            continue
        if not (ROOT / name).exists():
            yield f'{path}: "{name}" is not a path from the root'
            continue
        target = room_of(name)
        if is_test(path):
            continue
        allowed = MAY_INCLUDE[generic]
        if target == "tests" or (allowed is not None and target != room and target not in allowed):
            yield f'{path}: {room} may not include "{name}"'


def size_findings(path, text):
    lines = text.split("\n")
    most = TEST_LINES_MAX if is_test(path) else LINES_MAX
    if len(lines) - 1 > most:
        yield f"{path}: {len(lines) - 1} lines, at most {most}"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX and "R\"(" not in line and "http" not in line and not is_test(path):
            yield f"{path}:{number}: {len(line)} columns, at most {COLUMNS_MAX}"


def opening_findings(path, text):
    first = text.split("\n", 1)[0]
    if not first.startswith("//") and not path.endswith("_test.cpp"):
        if path.endswith(".hpp") or path.endswith(".h"):
            yield f"{path}: a header opens with one sentence that says what it is for"
    if path.endswith((".hpp", ".h")) and "#pragma once" not in text:
        yield f"{path}: no #pragma once"


def word_findings(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            yield f"{path}:{number}: unfinished business: {line.strip()[:60]}"


def connector_findings(files):
    folders = {f.split("/")[1] for f in files if f.startswith("connectors/") and f.count("/") > 1}
    for name in sorted(folders - {"api", "support"}):
        inside = {f.split("/", 2)[2] for f in files if f.startswith(f"connectors/{name}/")}
        for wanted in ("README.md", "example.yaml"):
            if wanted not in inside:
                yield f"connectors/{name}: no {wanted}"
        if not any(f.endswith("_test.cpp") for f in inside):
            yield f"connectors/{name}: no test"


def top_level_findings(files):
    for name in sorted({f.split("/")[0] for f in files}):
        if name not in TOP_LEVEL and not name.startswith("."):
            yield f"{name}: not on the list of top-level names"


def findings(files, read):
    yield from connector_findings(files)
    yield from top_level_findings(files)
    for path in files:
        if not path.endswith((".cpp", ".hpp", ".h")):
            continue
        text = read(path)
        for check in (include_findings, size_findings, opening_findings, word_findings):
            yield from check(path, text)


def self_test():
    """Every check must be able to fail: a made-up tree with one fault of each kind."""
    tree = {
        "buffer/x.hpp": "// X.\n#pragma once\n#include \"config/option.hpp\"\n",
        "connectors/a/a.cpp": "#include \"connectors/host/host.hpp\"\n#include <lmdb.h>\n",
        "connectors/a/long.cpp": "int x;\n" * (LINES_MAX + 1),
        "agent/base/y.hpp": "#include \"nowhere.hpp\"\n",
        "agent/base/wide.cpp": "// " + "w" * COLUMNS_MAX + "\n// TODO later\n",
        "misc/z.cpp": "",
    }
    existing = next(p for p in ROOT.glob("connectors/host/*.hpp")).relative_to(ROOT).as_posix()
    tree["connectors/a/a.cpp"] = tree["connectors/a/a.cpp"].replace("connectors/host/host.hpp", existing)
    found = "\n".join(findings(list(tree), tree.get))
    for part in ("buffer may not include", "connectors/a may not include", "<lmdb.h> belongs to",
                 "lines, at most", "is not a path from the root", "columns, at most", "unfinished business",
                 "no README.md", "no example.yaml", "no test", "not on the list of top-level names",
                 "no #pragma once", "opens with one sentence"):
        if part not in found:
            print(f"self-test: the check for '{part}' found nothing")
            return 1
    print("self-test: every check can fail")
    return 0


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [f for f in listed.stdout.split("\n") if f and (ROOT / f).exists()]
    return [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*")
            if p.is_file() and "build" not in p.parts and ".git" not in p.parts]


def main():
    if "--self-test" in sys.argv:
        return self_test()
    files = tracked_files()
    found = list(findings(files, lambda path: (ROOT / path).read_text(encoding="utf-8")))
    for line in found:
        print(line)
    print(f"{len(files)} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
