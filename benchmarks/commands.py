"""The commands `val` and `predict` on a data set: whole processes of this clone beside those of another commit.

Both have the same weights and configuration, and run in turns. What they find is compared, too: mIoU, and the class
ids of every pixel.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.clone import ROOT
from benchmarks.tables import Row, add_rounds_argument, log
from paddleseg_ext.cli.common import MOST_THREADS, whole
from paddleseg_ext.compat.environment import environment_before
from paddleseg_ext.data.image_io import find_images, read_image
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection.analysis.timing import Timing

COMMANDS = ("val", "predict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is run."""
    parser.add_argument("--config", required=True, help="YAML file or shipped name, known to both commits")
    parser.add_argument("--model_path", required=True, type=Path, help="weights")
    parser.add_argument("--dataset_root", required=True, type=Path, help="of the configuration's val_dataset")
    parser.add_argument("--image_path", required=True, type=Path, help="folder of images to predict")
    parser.add_argument("--beside", required=True, metavar="COMMIT", help="of this repository")
    parser.add_argument(
        "--their_threads", type=whole(1, MOST_THREADS), help="threads of the other commit's commands; default: its own"
    )
    add_rounds_argument(parser, text="runs of each command, in turns")


def run(args: argparse.Namespace) -> list[Row]:
    """A row for each command.

    Raises:
        UserError: There is no such commit, or a command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder, "other")
        _check_out(args.beside, other)
        sides = [
            Side("ours", ROOT, Path(folder, "results_ours")),
            Side("theirs", other, Path(folder, "results_theirs"), args.their_threads),
        ]
        for number in range(args.rounds):
            for command in COMMANDS:
                for side in sides:
                    side.time(command, args)
                    log(f"round {number + 1}: {command}, {side.name}: {side.seconds[command][-1]:.1f} s")
        return [_row(command, *sides, args) for command in COMMANDS]


@dataclass
class Side:
    """A commit's clone, where its results go, and what it took."""

    name: str
    root: Path
    results: Path
    threads: int | None = None
    seconds: dict[str, list[float]] = field(default_factory=lambda: {command: [] for command in COMMANDS})
    processor: dict[str, list[float]] = field(default_factory=lambda: {command: [] for command in COMMANDS})

    def time(self, command: str, args: argparse.Namespace) -> None:
        """Run a command once."""
        self.results.mkdir(exist_ok=True)
        line = [sys.executable, f"tools/{command}.py", "--config", args.config]
        line += ["--model_path", str(args.model_path.resolve())]
        if command == "val":
            line += ["--json", str(self.results / "scores.json")]
            line += ["--opts", f"val_dataset.dataset_root={args.dataset_root.resolve()}"]
        else:
            line += ["--image_path", str(args.image_path.resolve()), "--save_dir", str(self.results)]
        if self.threads:
            line += ["--threads", str(self.threads)]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        environment = {**environment_before(), "PYTHONPATH": str(self.root)}
        done = subprocess.run(line, cwd=self.root, env=environment, capture_output=True, text=True)
        self.seconds[command].append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.processor[command].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode:
            raise UserError(f"{command} of {self.name} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")

    def score(self) -> float:
        """The mIoU that `val` found."""
        return json.loads((self.results / "scores.json").read_text(encoding="utf-8"))["miou"]

    def ids(self) -> dict[str, np.ndarray]:
        """The class ids that `predict` wrote, by file."""
        return {str(image.target): read_image(image.path, 1) for image in find_images(str(self.results / "ids"))}


def _check_out(commit: str, folder: Path) -> None:
    git = shutil.which("git")
    if git is None:
        raise UserError("--beside: git is not installed, which takes the other commit out of the repository")
    for line in (
        ["clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder)],
        ["-C", str(folder), "checkout", "-q", commit],
    ):
        done = subprocess.run([git, *line], capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"--beside {commit}: {done.stderr.strip().splitlines()[-1]}")


def _row(command: str, ours: Side, theirs: Side, args: argparse.Namespace) -> Row:
    timings = [Timing(side.seconds[command]) for side in (ours, theirs)]
    images: int | str = ""
    if command == "val":
        differing = f"{ours.score() - theirs.score():g} of mIoU"
    else:
        one, other = ours.ids(), theirs.ids()
        images = len(one)
        count = sum(int((one[name] != other[name]).sum()) for name in other)
        differing = f"{count} of {sum(ids.size for ids in one.values())} pixels"
    return {
        "command": command,
        "config": Path(args.config).stem,
        "images": images,
        "beside": args.beside,
        "their_threads": args.their_threads or "default",
        "ours_s": round(timings[0].median, 2),
        "theirs_s": round(timings[1].median, 2),
        "theirs_ours": round(timings[1].median / timings[0].median, 2),
        "spread": round(max(timing.spread for timing in timings), 2),
        "ours_processor_s": round(float(np.median(ours.processor[command])), 2),
        "theirs_processor_s": round(float(np.median(theirs.processor[command])), 2),
        "differing": differing,
    }
