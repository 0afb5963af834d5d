"""Are the types complete that bot authors see? `make types` asks, after strict mypy.

basedpyright lists every public symbol. None may be of unknown type, anywhere; in what authors
import, none may be left to inference either, since checkers infer differently.
"""

import json
import subprocess
import sys
from typing import Any

AUTHORS_IMPORT = ("offhook.kit.", "offhook.runner.")
"""Where inference is not enough."""


def main() -> int:
    """Print what is missing; the exit code is 1 if anything is."""
    command = ["basedpyright", "--verifytypes", "offhook", "--ignoreexternal", "--outputjson"]
    listing = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 -- ours
    report = json.loads(listing.stdout)["typeCompleteness"]
    symbols = [each for each in report["symbols"] if each["isExported"]]
    if not symbols:
        sys.stdout.write("basedpyright found nothing: is offhook installed here?\n")
        return 1
    wrong = [each for each in symbols if is_unknown(each) or is_vague(each)]
    for symbol in wrong:
        for diagnostic in symbol["diagnostics"]:
            sys.stdout.write(
                f"{place(diagnostic)}{symbol['name']}: {diagnostic['message'].splitlines()[0]}\n"
            )
    sys.stdout.write(f"{len(symbols)} public symbols, {len(wrong)} without a complete type\n")
    return 1 if wrong else 0


def is_unknown(symbol: dict[str, Any]) -> bool:
    """Say whether not even inference can tell the type."""
    return not symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]


def is_vague(symbol: dict[str, Any]) -> bool:
    """Say whether a name that authors import is itself left to inference; a logger may be."""
    return (
        symbol["name"].startswith(AUTHORS_IMPORT)
        and not symbol["name"].endswith(".log")
        and any(
            "could be inferred differently" in each["message"] for each in symbol["diagnostics"]
        )
    )


def place(diagnostic: dict[str, Any]) -> str:
    """Return where a diagnostic points to, as editors like it."""
    if "range" not in diagnostic:
        return ""
    return f"{diagnostic['file']}:{diagnostic['range']['start']['line'] + 1}: "


if __name__ == "__main__":
    sys.exit(main())
