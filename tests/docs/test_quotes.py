"""The sentences that the pages quote are those that the package prints.

On `docs/troubleshooting.md`, what stands in backquotes in the first column of a table is a message; ``…`` is what
differs. It is looked for in the texts of the package, in which an argument in backquotes is its flag.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache

import pytest

from paddleseg_ext.cli import main
from tests.docs.commands import parser_of
from tests.docs.pages import INLINE, ROOT, Page

PAGES = [Page(ROOT / "docs" / name) for name in ("troubleshooting.md", "troubleshooting_cn.md")]


@lru_cache
def texts() -> list[str]:
    """All texts of the package, parts that are filled in as ``…``, arguments as flags."""
    flags = {dest: flag for name in main.COMMANDS for dest, flag in parser_of(name).flags.items()}
    found = []
    for path in [*(ROOT / "paddleseg_ext").rglob("*.py"), *(ROOT / "tools").glob("*.sh")]:
        source = path.read_text("utf-8")
        if path.suffix == ".sh":
            found.append(" ".join(re.sub(r'"\s*\\\n\s*"', " ", re.sub(r"\$\w+|\$\{\w+\}", "…", source)).split()))
            continue
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            text = re.sub(r"`(\w+)`", lambda m: flags.get(m[1], m[1]), text)
            found.append(" ".join(text.split()))
    return found


def quoted(page: Page) -> list[str]:
    """The messages in the first columns."""
    cells = [row[0] for table in page.tables for row in table[2:]]
    return [" ".join(m[2].strip().replace(r"\|", "|").split()) for cell in cells for m in INLINE.finditer(cell)]


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_messages_are_the_packages_own(page: Page) -> None:
    messages = quoted(page)
    assert len(messages) > 30
    missing = []
    for message in messages:
        parts = [part for part in re.split(r"\s*…\s*", message) if part]
        pattern = re.compile(r".*?".join(map(re.escape, parts)))
        if not any(pattern.search(text) for text in texts()):
            missing.append(message)
    assert not missing


def test_both_languages_quote_the_same() -> None:
    assert quoted(PAGES[0]) == quoted(PAGES[1])
