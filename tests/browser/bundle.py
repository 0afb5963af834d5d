"""Builds the test page of the official client: npm fetches, esbuild joins it into one file."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

OFFICIAL: Final = Path(__file__).parent / "official"
SOURCES: Final = ("package.json", "package-lock.json", "page.js")
BUNDLE: Final = OFFICIAL / "build" / "page.js"
TIMEOUT_S: Final = 240


class BundleMissingError(Exception):
    """The bundle cannot be built on this machine."""


def bundle() -> Path:
    """Return the bundle, built anew if what it is made of has changed.

    Raises:
        BundleMissingError: There is no npm, or it cannot fetch.
    """
    newest = max((OFFICIAL / name).stat().st_mtime for name in SOURCES)
    if not BUNDLE.exists() or BUNDLE.stat().st_mtime < newest:
        build()
    return BUNDLE


def build() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise BundleMissingError("no npm on this machine to build the official client with")
    for arguments in (["ci", "--ignore-scripts", "--no-progress"], ["run", "build"]):
        try:
            subprocess.run(
                [npm, *arguments], cwd=OFFICIAL, check=True, capture_output=True, timeout=TIMEOUT_S
            )
        except subprocess.CalledProcessError as error:
            raise BundleMissingError(f"npm {arguments[0]}: {error.stderr.decode()}") from error
