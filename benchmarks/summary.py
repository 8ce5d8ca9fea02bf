"""The table of README's comparison, from the newest results: `python -m benchmarks.summary` writes it into both pages.

Of each subject and number of threads the newest table counts.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clone import ROOT
from benchmarks.networks import SPECS
from benchmarks.peers import PEERS
from benchmarks.tables import RESULTS
from paddleseg_ext.runtime.threads import count_of

BEGIN, END = "<!-- benchmarks.summary: begin -->", "<!-- benchmarks.summary: end -->"
FOLDER = re.compile(r"(?P<date>\d{4}-\d\d-\d\d)_.+?_\d+-cores(_(?P<threads>\d+)-threads?)?")
MEAN = re.compile(r"geometric mean of (\d+) heads$")
NAMES = dict(zip(PEERS, ("PaddleSeg", "PyTorch")))
MODES = ("training", "evaluation")


@dataclass(frozen=True)
class Words:
    """Of a page's language.

    Attributes:
        corner: Of the table.
        column: Of a peer and a number of threads.
        mean: Of so many networks over a backbone, if there is one, at a size.
        caption: Of the sources and the machines.
        comma: With its space.
    """

    corner: str
    column: Callable[[str, int], str]
    mean: Callable[[str, str], str]
    caption: Callable[[str, str], str]
    comma: str


ENGLISH = Words(
    "time, peer / ours: training, evaluation",
    lambda peer, threads: f"{peer}, {count_of(threads, 'thread')}",
    lambda number, backbone: f"geometric mean of {number} {f'networks on {backbone}' if backbone else 'heads'}",
    lambda sources, machines: f"*From {sources}, measured on {machines}; written by `python -m benchmarks.summary`.*",
    ", ",
)
CHINESE = Words(
    "耗时，对方 / 本包：训练，评估",
    lambda peer, threads: f"{peer}，{threads} 线程",
    lambda number, backbone: (
        f"{backbone or ''}{' 上 ' if backbone else ''}{number} 个{'网络' if backbone else '分割头'}的几何平均"
    ),
    lambda sources, machines: f"*取自 {sources}，测量于 {machines}；由 `python -m benchmarks.summary` 写出。*",
    "，",
)
PAGES = {"README.md": ENGLISH, "README_CN.md": CHINESE}


@dataclass(frozen=True)
class Table:
    """A file of results.

    Attributes:
        path: Of its figures; the same name with ``.md`` is for people.
        date: Of the measurement.
        machine: Its processor and cores.
        threads: With which it was measured; one, then Paddle's default, where the folder is from before its name told.
        rows: Of the file.
    """

    path: Path
    date: str
    machine: str
    threads: int
    rows: list[dict[str, str]]


def tables(results: Path, subject: str) -> list[Table]:
    """The newest of each number of threads, in the order of that."""
    newest: dict[int, Table] = {}
    for path in sorted(results.glob(f"*/{subject}.csv")):  # the folders' names begin with their dates
        if match := FOLDER.fullmatch(path.parent.name):
            threads = int(match["threads"] or 1)
            machine = re.search("^- device: (.*)$", path.with_suffix(".md").read_text("utf-8"), re.MULTILINE)[1]
            with open(path, newline="", encoding="utf-8") as file:
                newest[threads] = Table(path, match["date"], machine, threads, list(csv.DictReader(file)))
    return [newest[threads] for threads in sorted(newest)]


def block(results: Path, page: Path, words: Words) -> str:
    """The table in Markdown, a line for each head and for the mean of networks, with its sources below it.

    Args:
        results: Folder of folders.
        page: The links are relative to its folder.
        words: Of its language.
    """
    used = [*tables(results, "heads"), *tables(results, "model")]
    cells: dict[str, dict[tuple[str, int], str]] = {}
    for table in used:
        for row in _told(table.rows):
            for peer, text in _figures(table.rows, row):
                cells.setdefault(_label(row, words), {})[peer, table.threads] = text
    found = {column for row in cells.values() for column in row}
    columns = [(peer, threads) for peer in PEERS for threads in sorted({table.threads for table in used})]
    columns = [column for column in columns if column in found]
    lines = [[words.corner, *(words.column(NAMES[peer], threads) for peer, threads in columns)]]
    lines += [["---"] * len(lines[0]), *([label, *map(row.get, columns)] for label, row in cells.items())]
    sources = [
        f"[{_source(table)}]({table.path.with_suffix('.md').relative_to(page.parent).as_posix()})" for table in used
    ]
    machines = dict.fromkeys(table.machine for table in used)
    caption = words.caption(words.comma.join(sources), words.comma.join(machines))
    return "\n".join([*(f"| {' | '.join(cell or '–' for cell in line)} |" for line in lines), "", caption])


def _told(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """One row each of the heads, and of means; of whole networks the means alone."""
    ones = {(row["case"], _size(row), row.get("backbone")): row for row in rows}
    return [row for row in ones.values() if MEAN.match(row["case"]) or (row["case"] in SPECS and "map" in row)]


def _size(row: dict[str, str]) -> str:
    return row.get("map") or row["image"]


def _label(row: dict[str, str], words: Words) -> str:
    mean = MEAN.match(row["case"])
    size = _size(row).replace("x", "×")
    backbone = row.get("backbone", "" if "map" in row else "ResNet50_vd")  # not told by tables of before
    return f"{words.mean(mean[1], backbone) if mean else row['case']}{words.comma}{size}"


def _figures(rows: Sequence[dict[str, str]], one: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Of each peer, in both modes."""
    same = [row for row in rows if all(row.get(key) == one.get(key) for key in ("case", "map", "image", "backbone"))]
    for peer, key in zip(PEERS, ("speedup", "pytorch_speedup")):
        found = {row["mode"]: row[key] for row in same if row.get(key)}
        if set(MODES) <= set(found):
            yield peer, ", ".join(f"{float(found[mode]):.2f}" for mode in MODES)


def _source(table: Table) -> str:
    return f"{table.path.stem}, batch {table.rows[0]['batch']}, {table.date}"


def written(text: str, made: str) -> str:
    """A page with the block between its markers.

    Raises:
        ValueError: It has no such markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.summary", description=__doc__).parse_args()
    for name, words in PAGES.items():
        page = ROOT / name
        page.write_text(written(page.read_text("utf-8"), block(RESULTS, page, words)), "utf-8")


if __name__ == "__main__":
    main()
