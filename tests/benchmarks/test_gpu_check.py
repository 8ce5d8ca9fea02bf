"""The check on a GPU, less the steps themselves, which run with `bash tools/gpu_check.sh --device cpu`."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest

from benchmarks.gpu_check import __main__ as program
from benchmarks.gpu_check import comparisons, environment, heads, names, plan, training
from benchmarks.gpu_check.findings import FINDINGS
from benchmarks.gpu_check.report import write_report
from benchmarks.gpu_check.room import Failed, Machine, Room, Skipped, last_words
from benchmarks.gpu_check.steps import FAIL, PASS, SKIP, Step, run_steps, status
from paddleseg_ext.checkpoint.save import Checkpoint, save_checkpoint
from paddleseg_ext.errors import UserError

ROOT = Path(__file__).parents[2]


def fails(room: Room) -> str:
    raise Failed("the outputs\ndiffer | by 3")


def skips(room: Room) -> str:
    raise Skipped("needs two GPUs")


def breaks(room: Room) -> str:
    raise KeyError("loss")


GOOD, BAD = Step("good", 5, lambda room: "7 heads"), Step("bad", 5, fails)
OTHER, BROKEN = Step("other", 5, skips), Step("broken", 5, breaks)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path, Machine("cpu", "a processor", results="today"), time.monotonic() + 60)


def run(room: Room, steps: list[Step], seconds: float = 100) -> list:
    return run_steps(steps, room, time.monotonic() + seconds, lambda line: None)


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["soon"], "soon: minutes are a number from 2 to 600"),
        (["1"], "1: minutes are a number from 2 to 600"),
        (["nan"], "nan: minutes"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--minutes", "5"], "unrecognized arguments"),
    ],
)
def test_bad_arguments(arguments: list[str], told: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        program.main(arguments, tmp_path)
    assert end.value.code == 2 and told in capsys.readouterr().err


def test_a_failing_step_ends_no_other_and_gives_status_1(room: Room) -> None:
    outcomes = run(room, [BAD, BROKEN, OTHER, GOOD])
    assert [one.result for one in outcomes] == [FAIL, FAIL, SKIP, PASS]
    assert outcomes[1].reason == "KeyError: 'loss'" and outcomes[3].figures == "7 heads"
    assert status(outcomes) == 1
    assert status(run(room, [GOOD, OTHER])) == 0


def test_the_report_has_a_row_for_each_step(room: Room) -> None:
    path = write_report(room, run(room, [GOOD, BAD, OTHER]), "gpu_check.sh 5")
    text = path.read_text("utf-8")
    assert "1 passed, 1 failed (bad), 1 skipped" in text and "`gpu_check.sh 5`" in text and "a processor" in text
    for row in (
        "| good | pass | 0 | 7 heads |  |",
        "| bad | fail | 0 |  | the outputs differ \\| by 3 |",
        "| other | skip | 0 |  | needs two GPUs |",
    ):
        assert row in text
    assert all(finding.text in text for finding in FINDINGS) and "not begun" in text
    with open(room.results / "gpu_check.csv", encoding="utf-8") as file:
        assert [row["result"] for row in csv.DictReader(file)] == [PASS, FAIL, SKIP]


def test_from_arguments_to_report(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = room.folder / "check"
    (folder / "of a former run").mkdir(parents=True)
    monkeypatch.setattr(environment, "look", lambda room: None)
    for steps, expected in (([GOOD, OTHER], 0), ([BAD, GOOD], 1)):
        monkeypatch.setattr(plan, "steps", lambda machine, steps=steps: steps)
        assert program.main(["2", "--device", "cpu"], folder) == expected
        assert "`gpu_check.sh 2 --device cpu`" in (folder / "report.md").read_text("utf-8")
    assert not (folder / "of a former run").exists()


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="for a Paddle without GPUs")
def test_a_gpu_that_is_not_there_is_told(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert program.main([], tmp_path / "check") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --device gpu: the installed paddlepaddle") and "or use --device cpu" in told


def test_a_gpu_that_does_not_compute_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def look(room: Room) -> None:
        raise Failed("error: the card does not compute with this Paddle")

    monkeypatch.setattr(environment, "look", look)
    assert program.main([], tmp_path / "check") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_takes_too_long_is_ended_with_all_that_it_started(room: Room) -> None:
    inner = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '60'], start_new_session=True); "
        "print('child', child.pid, flush=True); time.sleep(60)"
    )

    def slow(room: Room) -> str:
        room.deadline = time.monotonic() + 1.5
        return room.run("slow", ["-c", inner])

    started = time.monotonic()
    (outcome,) = run(room, [Step("slow", 5, slow)])
    assert (outcome.result, outcome.reason) == (FAIL, "ended for want of time (logs/slow.txt)")
    assert time.monotonic() - started < 20
    child = Path("/proc") / room.log("slow").read_text("utf-8").split()[-1]
    while child.exists() and " Z " not in (child / "stat").read_text("utf-8"):
        assert time.monotonic() - started < 20, "the child lives on"
        time.sleep(0.05)


def test_another_exit_status_is_told_with_the_last_words(room: Room) -> None:
    assert room.run("good", ["-c", "print(3)"]).endswith("3\n")
    with pytest.raises(Failed, match=r"exit status 4, expected 0: it is red \(logs/bad.txt\)"):
        room.run("bad", ["-c", "print('it is red'); raise SystemExit(4)"])
    assert last_words("$ python x\nValueError: y\nbye\n") == "ValueError: y"


def test_the_time_that_is_left_is_shared(room: Room) -> None:
    given = []
    steps = [
        Step(str(number), seconds, lambda room: given.append(room.left()) or "")
        for number, seconds in enumerate((10, 30))
    ]
    run(room, steps, 100)
    assert given == pytest.approx([70, 100], abs=1)  # what later steps do not need is anyone's
    given.clear()
    run(room, steps, 24)
    assert given == pytest.approx([6, 24], abs=1)
    outcomes = run(room, steps, 8)
    assert [one.result for one in outcomes] == [FAIL, PASS] and "give more minutes" in outcomes[0].reason


def test_findings_name_tests_and_steps_that_there_are() -> None:
    for device in ("gpu", "cpu"):
        steps = plan.steps(Machine(device))
        there = [step.name for step in steps]
        assert len(set(there)) == len(there)
        assert set(there) == {value for key, value in vars(names).items() if key.isupper()}
        assert sum(step.seconds for step in steps) < 60 * program.MINUTES - program.RESERVE
        assert {name for finding in FINDINGS for name in finding.steps} <= set(there)
    for test in (test for finding in FINDINGS for test in finding.tests):
        file, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / file).read_text("utf-8"), test


@pytest.mark.parametrize("machine", [Machine("gpu", gpus=2, bfloat16=True), Machine("gpu", gpus=1), Machine("cpu")])
def test_every_command_is_one_that_the_command_line_takes(machine: Machine, room: Room, monkeypatch) -> None:
    """On a GPU, too, where they have not been run: files that are missing here end a step after its first commands."""
    asked: list[list[str]] = []

    def run(self: Room, log: str, arguments: list[str], *_: object, **__: str) -> str:
        asked.append([str(argument) for argument in arguments])
        return ""

    @contextmanager
    def started(self: Room, log: str, arguments: list[str], *_: object) -> Iterator[None]:
        run(self, log, arguments)
        raise Failed("not run")
        yield

    monkeypatch.setattr(Room, "run", run)
    monkeypatch.setattr(Room, "started", started)
    room.machine = replace(machine, versions=dict.fromkeys(("paddle", "paddleseg", "python"), "3"))
    room.log("a").parent.mkdir()
    for step in plan.steps(machine):
        before = len(asked)
        with suppress(Failed, Skipped, OSError, StopIteration, UserError):
            step.run(room)
        without = {names.FROZEN, names.SIGNAL, names.DEVICE} if machine.gpus < 2 else set()
        without |= set() if machine.bfloat16 else {names.HEADS_BF16}
        assert len(asked) > before or step.name in without
    seen = set()
    for arguments in asked:
        if arguments[0] == "-m" and arguments[1] != "paddle.distributed.launch":
            continue
        tool = next(index for index, argument in enumerate(arguments) if argument.startswith("tools/"))
        command = Path(arguments[tool]).stem
        parser = argparse.ArgumentParser()
        importlib.import_module(f"paddleseg_ext.cli.commands.{command}").add_arguments(parser)
        parsed = parser.parse_args(arguments[tool + 1 :])
        assert parsed.device.startswith(machine.device) or (command, parsed.device) == ("val", "cpu")
        assert not hasattr(parsed, "config") or (ROOT / parsed.config).is_file()
        seen.add(command)
    assert seen == {"check", "train", "export", "val", "benchmark"}


def test_heads_that_differ_do_not_pass() -> None:
    outputs, gradient = [np.array([1.0, -2.0])], np.array([1.0, 2.0, 3.0])
    exact = (outputs, gradient)
    assert heads.compared("PSPHead", "narrow", "float32", exact, exact)["result"] == "pass"
    others = [
        ([outputs[0] + [0, 1e-3]], gradient),
        (outputs, gradient * [1, 1, 0.9]),
        (outputs, gradient * [1, 1, np.nan]),
        ([outputs[0] * np.inf], gradient),
    ]
    for other in others:
        assert heads.compared("PSPHead", "narrow", "float32", exact, other)["result"].startswith("differs"), other
    assert heads.compared("PSPHead", "narrow", "float16", exact, others[0])["result"] == "pass"


@pytest.mark.parametrize(
    "said, told",
    [
        ("{row}\nALL HEADS COMPARED", "1 narrow heads, outputs differ by at most 2.0e-07"),
        ("{row}\nSegmentation fault, an error", "the comparison broke off: Segmentation fault, an error"),
        ("{wrong}\nALL HEADS COMPARED", "narrow CCHead differs by 1"),
    ],
)
def test_a_comparison_of_heads_is_whole_or_a_failure(said: str, told: str, room: Room, monkeypatch) -> None:
    row = dict(zip(heads.KEYS, ("CCHead", "narrow", "float32", "2e-07", 1e-4, "1.0", 0.9999, True, "pass")))
    texts = {"row": row, "wrong": {**row, "result": "differs by 1"}}
    text = said.format(**{key: heads.MARK + json.dumps(value) for key, value in texts.items()})
    monkeypatch.setattr(Room, "run", lambda *_, **__: text)
    try:
        found = heads.step("float32", room)
    except Failed as reason:
        found = str(reason)
    assert told in found
    assert (room.results / "contract.csv").read_text("utf-8").count("CCHead") == 1


def test_checkpoints_are_compared_to_the_bit(tmp_path: Path) -> None:
    weights, arrays = {"conv": np.array([1.0, 4.0], "float32")}, {"velocity": np.array([2.0], "float32")}
    for name, value in (("one", weights), ("same", weights), ("other", {"conv": weights["conv"] * (1 + 2e-7)})):
        save_checkpoint(tmp_path / name, Checkpoint(value, arrays, {"iteration": 3}, ""))
    assert training.newest(tmp_path / "one") == 3
    assert training.same(tmp_path / "one", tmp_path / "same") == "all 2 arrays equal bit for bit"
    with pytest.raises(Failed, match=r"1 of 2 arrays differ, by 2\.\de-07 of the largest"):
        training.same(tmp_path / "one", tmp_path / "other")
    with pytest.raises(Failed, match="no checkpoint was left"):
        training.newest(tmp_path)


def test_figures_of_a_table(room: Room) -> None:
    room.results.mkdir(parents=True)
    rows = ["case,mode,ours_ms,speedup", "A,evaluation,1,2.0", "B,evaluation,1,8.0", "mean,evaluation,,4.0"]
    (room.results / "heads.csv").write_text("\n".join(rows), encoding="utf-8")
    assert comparisons.summary(room, "heads") == "speed beside PaddleSeg's: evaluation 4.00×, least 2.00× (A)"


def test_a_network_that_cannot_be_measured_keeps_no_other_from_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.machine = Machine("gpu", results="today")

    def measure(room: Room, name: str, given: list[str]) -> None:
        if given[-2:] != ["--names", "CCHead"]:
            raise Failed("out of memory")

    monkeypatch.setattr(comparisons, "_measure", measure)
    with pytest.raises(Failed, match="out of memory; measured alone: CCHead"):
        comparisons.benchmark("heads", True, room)
