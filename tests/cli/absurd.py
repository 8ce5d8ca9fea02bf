"""Command lines that make no sense: one mistake each, drawn from a seed, in calls that would work without it."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator

from paddleseg_ext.cli import main

CONFIG = ["--config", "config.yml", "--device", "cpu"]
WEIGHTS = ["--model_path", "out/iter_1/model.pdparams"]
BASES = {  # calls that work, in a folder with a configuration, a trained checkpoint and folders of images and labels
    "train": [*CONFIG, "--save_dir", "again", "--iters", "1"],
    "val": [*CONFIG, *WEIGHTS],
    "predict": [*CONFIG, *WEIGHTS, "--image_path", "images/0.png", "--save_dir", "seen"],
    "explain": [*CONFIG, *WEIGHTS, "--image_path", "images/0.png", "--save_dir", "explained", "--grid", "2", "2"],
    "export": [*CONFIG, *WEIGHTS, "--save_dir", "exported", "--no_verify"],
    "check": [*CONFIG, "--no_step"],
    "convert": ["paddleseg", "out/iter_1/model.pdparams", "--config", "config.yml", "--output", "converted.pdparams"],
    "list": ["heads", "--json"],
    "benchmark": ["data", "--images", "1", "--rounds", "3", "--size", "32", "64", "--output", "measured"],
    "init": ["config.yml", "--output", "inited.yml", "--force"],
    "prepare": ["folder", "--images", "images", "--labels", "labels", "--output", "prepared", "--num_workers", "0"],
}
WORDS = (
    "",
    " ",
    "x",
    "1e3",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1.5",
    "1e308",
    str(10**30),
    "９",
    "None",
    "[1]",
    "--",
    "-",
)
PATHS = (
    "",
    ".",
    "/",
    "/dev/null",
    "/proc/none/x",
    "nowhere/none",
    "images",
    "config.yml",
    "config.yml/x",
    "a" * 300,
    "\0",
)
STRAY = ("--nonsense", "--confg", "stray", "--save-dir")


def calls(seed: int) -> Iterator[tuple[str, list[str]]]:
    """Endless commands with their arguments."""
    draw = random.Random(seed)
    while True:
        command = draw.choice(list(BASES))
        yield command, draw.choice((_value, _value, _value, _value, _dropped, _stray, _twice))(draw, command)


def options(command: str) -> list[argparse.Action]:
    """What a command takes, of `prepare` and `benchmark` what their cheapest subcommand does."""
    parser = argparse.ArgumentParser(add_help=False)
    main._load(command).add_arguments(parser)
    for action in parser._actions:
        if isinstance(action.choices, dict):
            return action.choices[BASES[command][0]]._actions
    return parser._actions


def _value(draw: random.Random, command: str) -> list[str]:
    """A value that an option cannot have, or one that only seems to be wrong."""
    base = list(BASES[command])
    option = draw.choice([action for action in options(command) if action.option_strings and action.dest != "help"])
    flag = draw.choice(option.option_strings)
    if isinstance(option.nargs, int) and option.nargs == 0:
        return [*base, flag]
    count = option.nargs if isinstance(option.nargs, int) else draw.choice((1, 1, 2)) if option.nargs else 1
    values = [draw.choice((*WORDS, *PATHS)) for _ in range(count)]
    if flag in base and not option.nargs:
        base[base.index(flag) + 1] = values[0]
        return base
    return [*base, flag, *values]


def _dropped(draw: random.Random, command: str) -> list[str]:
    base = list(BASES[command])
    del base[draw.randrange(len(base))]
    return base


def _stray(draw: random.Random, command: str) -> list[str]:
    base = list(BASES[command])
    base.insert(draw.randrange(len(base) + 1), draw.choice(STRAY))
    return base


def _twice(draw: random.Random, command: str) -> list[str]:
    base = list(BASES[command])
    at = draw.randrange(len(base))
    return [*base, *base[at:]]
