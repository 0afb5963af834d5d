"""The code blocks of the documentation are tests: Python runs, JSON parses."""

import json

from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser


class JsonBlockParser(CodeBlockParser):
    """Parses each block of JSON, which is what it promises to be."""

    language = "json"

    def evaluate(self, example: Example) -> None:
        """Fail if the block is no JSON."""
        json.loads(example.parsed)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), JsonBlockParser()],
    patterns=["docs/**/*.md", "README.md", "CONTRIBUTING.md"],
    excludes=["docs/_build/**"],
).pytest()
