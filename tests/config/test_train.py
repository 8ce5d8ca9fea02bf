"""The section `train:`: defaults, ranges, and one flag for each entry."""

from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

from paddleseg_ext.cli.commands import train as command
from paddleseg_ext.config.train import CHANGES_WEIGHTS, TrainConfig
from paddleseg_ext.errors import UserError

KEYS = (
    "accumulate clip_norm ema ema_decay freeze head_lr no_decay precision amp_level skip_nonfinite metric "
    "early_stop_intervals save_interval log_iters keep_checkpoint_max num_workers seed deterministic autotune"
).split()


def test_every_promised_key_is_there() -> None:
    assert set(KEYS) <= {entry.name for entry in fields(TrainConfig)}


def test_an_empty_section_is_the_defaults_and_back() -> None:
    assert TrainConfig.of(None) == TrainConfig.of({}) == TrainConfig()
    assert TrainConfig.of(TrainConfig(freeze=("a.*",), seed=3).to_section()) == TrainConfig(freeze=("a.*",), seed=3)


def test_one_pattern_is_a_list_of_one() -> None:
    assert TrainConfig.of({"freeze": "backbone.*"}).freeze == ("backbone.*",)
    assert TrainConfig.of({"freeze": ["a", "b"]}).freeze == ("a", "b")


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("accumulate", 0, "train.accumulate: 0 is not allowed; it is a whole number, at least 1"),
        ("accumulate", 10**30, r"is not allowed; it is a whole number, at least 1, at most 1e\+10"),
        ("num_workers", 257, "train.num_workers: 257 is not allowed; it is a whole number, at least 0, at most 256"),
        ("accumulate", 1.5, "a whole number"),
        ("accumulate", True, "a whole number"),
        ("accumulate", "2", "a whole number"),
        ("accumulate", None, "train.accumulate: None is not allowed"),
        ("ema", 1, "true or false"),
        ("ema", "yes", "true or false"),
        ("ema_decay", 1, "a number, at least 0, below 1"),
        ("ema_decay", -0.1, "at least 0"),
        ("clip_norm", 0, "a number, above 0"),
        ("clip_norm", float("nan"), "a number"),
        ("clip_norm", float("inf"), "a number"),
        ("head_lr", -1, "above 0"),
        ("freeze", 3, "a list of words"),
        ("freeze", [1], "a list of words"),
        ("precision", "fp8", "allowed are fp32, fp16, bf16"),
        ("metric", "mIoU", "allowed are miou, accuracy"),
        ("seed", -1, "at least 0"),
        ("save_interval", 0, "at least 1"),
    ],
)
def test_values_outside_their_range_are_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainConfig.of({key: value})


@pytest.mark.parametrize("key", ["seed", "clip_norm", "early_stop_intervals"])
def test_what_is_none_by_default_may_be_none(key: str) -> None:
    assert getattr(TrainConfig.of({key: None}), key) is None


@pytest.mark.parametrize("wrong, right", [("acumulate", "accumulate"), ("use_ema", "ema"), ("ema_decy", "ema_decay")])
def test_an_unknown_key_is_named_with_the_likeliest(wrong: str, right: str) -> None:
    with pytest.raises(UserError, match=f"train: unknown argument '{wrong}'.*{right}"):
        TrainConfig.of({wrong: 1})


@pytest.mark.parametrize("section", [3, ["ema"], "ema"])
def test_a_section_that_is_none_is_refused(section: object) -> None:
    with pytest.raises(UserError, match="a section of keys and values"):
        TrainConfig.of(section)


def test_the_fastest_and_the_reproducible_exclude_each_other() -> None:
    TrainConfig(autotune=True).check_used()
    TrainConfig(deterministic=True).check_used()
    with pytest.raises(UserError, match="`autotune` takes whichever .*; leave one of them out"):
        TrainConfig(autotune=True, deterministic=True).check_used()
    assert "autotune" not in CHANGES_WEIGHTS  # rounding alone, as `deterministic`


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser


def test_no_flag_given_overrides_nothing(parser: argparse.ArgumentParser) -> None:
    args = parser.parse_args(["--config", "x.yml"])
    assert all(getattr(args, entry.name) is None for entry in fields(TrainConfig))


def test_every_entry_has_its_flag(parser: argparse.ArgumentParser) -> None:
    flags = {flag for action in parser._actions for flag in action.option_strings}
    assert {f"--{entry.metadata['flag'] or entry.name}" for entry in fields(TrainConfig)} <= flags


def test_flags_give_values_of_the_right_kind(parser: argparse.ArgumentParser) -> None:
    line = "--config x.yml --accumulate 4 --use_ema --ema_decay 0.9 --freeze a b --best_metric dice --clip_norm 5"
    args = parser.parse_args(line.split())
    assert (args.accumulate, args.ema, args.ema_decay, args.metric, args.clip_norm) == (4, True, 0.9, "dice", 5.0)
    assert args.freeze == ["a", "b"]


@pytest.mark.parametrize("line", ["--accumulate 0", "--ema_decay 1", "--clip_norm nan", "--head_lr 0", "--seed -1"])
def test_flags_outside_their_range_are_refused(parser: argparse.ArgumentParser, line: str, capsys) -> None:
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(["--config", "x.yml", *line.split()])
    assert exit_.value.code == 2 and "is not allowed; it is a" in capsys.readouterr().err


@pytest.mark.parametrize(
    "section, alone, needs",
    [
        ({"early_stop_intervals": 2}, {"do_eval": True}, "do_eval"),
        ({"ema_decay": 0.9}, {"ema": True}, "use_ema"),
        ({"amp_level": "O2"}, {"precision": "bf16"}, "precision"),
    ],
)
def test_an_entry_that_does_nothing_alone_is_refused_for_training(section: dict, alone: dict, needs: str) -> None:
    (name,) = section
    with pytest.raises(UserError, match=f"`{name}` does nothing without `{needs}`"):
        TrainConfig.of(section).check_used()
    TrainConfig.of({**section, **alone}).check_used()
