"""The licences of everything in the lock files, read from the installed packages themselves.

Run as a program, it renews the table in the documentation; the tests hold both against each other.
"""

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "licences.md"
BEGIN, END = "<!-- begin: make licences -->", "<!-- end: make licences -->"

PERMISSIVE = (
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD", "ISC", "MIT", "MIT-0", "PSF-2.0",
    "Unlicense", "Zlib", "CC0-1.0",
)  # fmt: skip
"""Licences that ask for no more than to be named."""

EXCEPTIONS = {
    "certifi": "MPL-2.0: a list of certificates, unchanged; only for development",
    "espeakng-loader": "GPL-3.0: speech for the demo alone, run as a separate program",
    "hypothesis": "MPL-2.0: unchanged; only for development",
    "pathspec": "MPL-2.0: unchanged; only for development",
}
"""Packages under other licences, and why each is acceptable here."""

WORDS = {
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache-2": "Apache-2.0",
    "BSD License": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause": "BSD-3-Clause",
    "Modified BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0",
    "GPL-3.0-or-later": "GPL-3.0",
    "Public Domain": "Unlicense",
}
"""What older packages write, in the words of SPDX."""

STATED_ELSEWHERE = {
    "espeakng-loader": "GPL-3.0",  # the wheel says nothing; eSpeak NG, which it carries, does
}
"""Packages whose metadata name no licence, or not that of what they carry."""


class Entry(NamedTuple):
    """One row of the table."""

    name: str
    licence: str
    use: str


def locked(lock: str) -> set[str]:
    """Return the names of the packages in a lock file that this platform installs."""
    text = (ROOT / "locks" / lock).read_text()
    names = re.findall(r"^([a-zA-Z0-9._-]+)==\S+(?! ; sys_platform == 'win32')", text, re.MULTILINE)
    windows = re.findall(r"^([a-z0-9._-]+)==\S+ ; sys_platform == 'win32'", text, re.MULTILINE)
    return {name.lower() for name in names} - set(windows)


def licence_of(name: str) -> str:
    """Return the licence of an installed package, as an SPDX expression where it can be told."""
    if name in STATED_ELSEWHERE:
        return STATED_ELSEWHERE[name]
    about = metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return expression
    classified = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier", [])
        if line.startswith("License ::") and line.count(" :: ") > 1
    ]
    stated = classified or [(about.get("License") or "unknown").splitlines()[0]]
    return " OR ".join(WORDS.get(each, each) for each in stated)


def with_requirements(name: str) -> set[str]:
    """Return a package and all that it needs, of what is installed."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        waiting += [
            re.split(r"[^A-Za-z0-9._-]", requirement)[0]
            for requirement in metadata.requires(name) or ()
            if ";" not in requirement
        ]
    return found


def is_permissive(expression: str) -> bool:
    """Say whether every part of an `AND`, and one of each `OR`, is on the list."""
    parts = re.split(r" AND ", expression.replace("(", " ").replace(")", " "))
    return all(
        any(choice.split(" WITH ")[0].strip() in PERMISSIVE for choice in part.split(" OR "))
        for part in parts
    )


def entries() -> Iterator[Entry]:
    """Go through all locked packages by name."""
    demo = locked("demo.txt") - with_requirements("hatchling")
    for name in sorted(demo | locked("dev.txt")):
        yield Entry(name, licence_of(name), "run" if name in demo else "develop")


def table() -> str:
    """Return the table for the page."""
    rows = [f"| {name} | {licence} | {use} |" for name, licence, use in entries()]
    return "\n".join(["| Package | Licence | To |", "| --- | --- | --- |", *rows])


def page_with(new_table: str) -> str:
    """Return the page with the table between its two marks."""
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{new_table}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(table()))
    sys.stdout.write(f"Written: {PAGE.relative_to(ROOT)}\n")
