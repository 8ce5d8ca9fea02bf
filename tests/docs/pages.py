"""The pages for readers, taken apart: headings, tables, links, inline code and blocks of code.

Conventions that the tests of this folder rely on, and that a page has to keep:

- ``…`` in a command, a table or a path stands for what the reader fills in; ``path/to`` begins a path of the reader's.
- A block whose first line is a comment with a file's name (``# my_heads.py``) is that file.
- What the program prints is quoted in backquotes, ``…`` for the parts that differ; what others print stands in
  quotation marks.
- Each page has a Chinese twin; blocks of code differ in their comments alone.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S)
INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text and the line of the page on which it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name in a first line that is a comment with a file's name."""
        found = re.match(r"# ([\w./-]+\.(?:py|ya?ml))$", self.text.partition("\n")[0])
        return found[1] if found else None

    @property
    def meaning(self) -> object:
        """What is left without comments and documentation: the same in all languages."""
        if self.language == "python":
            tree = ast.parse(self.text)
            for node in ast.walk(tree):
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                    node.body[0] = ast.Pass()
            return self.file, ast.dump(tree)
        if self.language == "yaml":
            return self.file, yaml.safe_load(self.text)
        if not self.language:  # a drawing, with words
            return self.text.count("\n")
        return [line for line in (re.sub(r"(^|\s+)# .*", "", line) for line in self.text.splitlines()) if line]


class Page:
    """A file of Markdown."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, path.read_text("utf-8")

    def __repr__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def blocks(self) -> list[Block]:
        return [
            Block(found["language"], found["text"], self.text.count("\n", 0, found.start()) + 1)
            for found in FENCE.finditer(self.text)
        ]

    def code(self, language: str) -> list[Block]:
        return [block for block in self.blocks if block.language == language]

    @cached_property
    def prose(self) -> str:
        """All but the blocks of code."""
        return FENCE.sub("", self.text)

    @cached_property
    def inline(self) -> list[str]:
        """What stands in backquotes, on one line each."""
        return [" ".join(found[2].replace(r"\|", "|").split()) for found in INLINE.finditer(self.prose)]

    @cached_property
    def headings(self) -> list[tuple[int, str]]:
        return [(len(found[1]), found[2]) for found in re.finditer(r"^(#+) (.*)$", self.prose, re.M)]

    @cached_property
    def anchors(self) -> set[str]:
        """Of the headings, as GitHub makes them: lower case, without punctuation, spaces to dashes."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in self.headings}

    @cached_property
    def links(self) -> list[str]:
        return [found["target"] for found in LINK.finditer(INLINE.sub("", self.prose))]

    @cached_property
    def tables(self) -> list[list[list[str]]]:
        """Cells of the rows of each table, the line of dashes among them."""
        found = re.findall(r"(?:^\|.*\|$\n?)+", self.prose, re.M)
        return [
            [re.split(r"(?<!\\)\|", line.strip()[1:-1].strip()) for line in table.strip().splitlines()]
            for table in found
        ]

    @property
    def twin(self) -> Path:
        """The Chinese page of an English one."""
        name = "README_CN.md" if self.path.parent == ROOT else f"{self.path.stem}_cn.md"
        return self.path.with_name(name)


def english(path: Path) -> bool:
    """Whether it is a page that has a Chinese twin."""
    return not path.stem.lower().endswith("_cn")


FOLDERS = ("docs/*.md", "configs/*/README*.md", "examples/*.md")
PATHS = sorted([ROOT / "README.md", ROOT / "README_CN.md", *(path for folder in FOLDERS for path in ROOT.glob(folder))])
PAGES = [Page(path) for path in PATHS]
ENGLISH = [page for page in PAGES if english(page.path)]
SINGLE = [Page(ROOT / name) for name in ("CONTRIBUTING.md", "CHANGELOG.md")]  # in English alone
