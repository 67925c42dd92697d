#!/usr/bin/python3
"""Holds the documents to the program: option tables, complete YAML examples, links.

tests/tidy/docs.py PENSTOCK [--update]
  --update rewrites the option tables between <!-- options --> and <!-- /options -->.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARKED = re.compile(r"(<!-- options -->\n)(.*?)(<!-- /options -->)", re.S)
YAML_BLOCK = re.compile(r"```yaml\n(.*?)```", re.S)
FILE_SHOWN = re.compile(r"^````.*?^````$", re.M | re.S)  # a whole file, which may have blocks of its own
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
SECRET_FILE = re.compile(r"\{file: [^}]+\}")


def documents():
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    for folder in ("docs", "connectors", "buffer", "agent"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return found


def connector_readmes():
    """One for each type; `support` is no type."""
    return [r for r in sorted((ROOT / "connectors").glob("*/README.md")) if r.parent.name != "support"]


def option_tables(penstock, update):
    for readme in connector_readmes():
        name = readme.parent.name
        table = subprocess.run([penstock, "describe", name, "--format", "md"], capture_output=True, text=True, check=False)
        if table.returncode != 0:
            yield f"{readme.relative_to(ROOT)}: describe {name}: {table.stderr.strip()}"
            continue
        text = readme.read_text(encoding="utf-8")
        marked = MARKED.search(text)
        if not marked:
            yield f"{readme.relative_to(ROOT)}: no option table between its marks"
        elif marked[2].strip() != table.stdout.strip():
            if update:
                readme.write_text(text[: marked.start(2)] + table.stdout.strip() + "\n" + text[marked.start(3):], encoding="utf-8")
            else:
                yield f"{readme.relative_to(ROOT)}: the option table differs from the code (tests/tidy/docs.py --update)"


def checked(penstock, text):
    """The findings of `penstock check` on a configuration; secret files of the example are made to exist."""
    with tempfile.TemporaryDirectory() as folder:
        secret = pathlib.Path(folder) / "secret"
        secret.write_text("x")
        secret.chmod(0o600)
        file = pathlib.Path(folder) / "example.yaml"
        file.write_text(SECRET_FILE.sub(f"{{file: {secret}}}", text), encoding="utf-8")
        done = subprocess.run([penstock, "check", file], capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr


def examples(penstock):
    for readme in connector_readmes():
        example = readme.parent / "example.yaml"
        text = example.read_text(encoding="utf-8")
        if found := checked(penstock, text):
            yield f"{example.relative_to(ROOT)}: check says:\n{found}"
        if text.strip() not in readme.read_text(encoding="utf-8"):
            yield f"{readme.relative_to(ROOT)}: does not show example.yaml as it is"
    for document in documents():
        for block in YAML_BLOCK.findall(FILE_SHOWN.sub("", document.read_text(encoding="utf-8"))):
            if re.search(r"^connectors:", block, re.M) and (found := checked(penstock, block)):
                yield f"{document.relative_to(ROOT)}: a YAML example fails:\n{found}"


def links():
    for document in documents():
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            if not (document.parent / target).exists():
                yield f"{document.relative_to(ROOT)}: broken link {target}"


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 64
    penstock = pathlib.Path(sys.argv[1]).resolve()
    found = [*option_tables(penstock, "--update" in sys.argv), *examples(penstock), *links()]
    for line in found:
        print(line)
    print(f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
