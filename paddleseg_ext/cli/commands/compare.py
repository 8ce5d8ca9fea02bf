"""Put several trainings and evaluations side by side on one page: curves, scores, classes, configurations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from paddleseg_ext.cli.common import output_file
from paddleseg_ext.inspection.runs.reading import Run, read_runs
from paddleseg_ext.inspection.runs.rows import class_rows, score_rows

PAGE = "output/compare.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="the save_dir of a training, or a file that `val --json` wrote"
    )
    parser.add_argument("--page", type=output_file, default=PAGE, metavar="FILE", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Read the runs, print their scores and write the page."""
    runs = read_runs(args.runs)
    print(_table(runs))
    for each in runs:
        for note in each.notes:
            print(f"warning: {each.name}: {note}")
    from paddleseg_ext.inspection.runs.page import write_comparison  # brings jinja2

    print(f"page: {write_comparison(args.page, runs)}")
    return 0


def _table(runs: Sequence[Run]) -> str:
    """Scores in percent, a column for each run; the best of a row has a star."""
    rows = [*score_rows(runs), *class_rows(runs)]
    titles = [run.name for run in runs]
    shown = [[f"{text}{'*' if i in row.best else ' '}" for i, text in enumerate(row.shown)] for row in rows]
    first = max(map(len, ["class", *(row.title for row in rows)]))
    widths = [max(map(len, [title, *(texts[i] for texts in shown)])) + 2 for i, title in enumerate(titles)]
    lines = [(" " * first, [f"{title} " for title in titles]), *((row.title, texts) for row, texts in zip(rows, shown))]
    return "\n".join(
        f"{title:<{first}}" + "".join(f"{text:>{width}}" for text, width in zip(texts, widths))
        for title, texts in lines
    )
