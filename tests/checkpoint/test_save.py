"""A complete checkpoint remains whenever a save is killed, and reading one executes no code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddleseg_ext.checkpoint import folders
from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.errors import UserError

KILLED, FINISHED = 9, 0
STEPS = {
    os: ["fsync", "replace", "rename", "mkdir", "symlink", "unlink", "rmdir"],
    checkpoint.paddle: ["save"],
    folders: ["exchange"],
}


def make(iteration: int) -> checkpoint.Checkpoint:
    value = np.full([2, 3], iteration, "float32")
    return checkpoint.Checkpoint(
        {"conv.weight": value}, {"optimizer/velocity_0/conv.weight": value}, {"iteration": iteration}, "iters: 9\n"
    )


def assert_is(found: checkpoint.Checkpoint, iteration: int) -> None:
    expected = make(iteration)
    assert (found.record, found.config) == (expected.record, expected.config)
    np.testing.assert_array_equal(found.weights["conv.weight"], expected.weights["conv.weight"])
    np.testing.assert_array_equal(*(list(state.arrays.values())[0] for state in (found, expected)))


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Run `work` in a child process that is killed before write number `step`; False if it finishes earlier."""
    child = os.fork()
    if child == 0:
        calls = 0

        def killing(call: Callable) -> Callable:
            def counted(*args: object, **kwargs: object) -> object:
                nonlocal calls
                calls += 1
                if calls > step:
                    os._exit(KILLED)
                return call(*args, **kwargs)

            return counted

        for module, names in STEPS.items():
            for name in names:
                setattr(module, name, killing(getattr(module, name)))
        status = 1
        try:
            work()
            status = FINISHED
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (KILLED, FINISHED)
    return status == KILLED


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("exchanging", [True, False])
def test_a_checkpoint_remains_whenever_a_save_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanging: bool
) -> None:
    keep = 1
    monkeypatch.setattr(os, "fsync", lambda _: None)  # which matters to machines that lose power, not to a kill
    if not exchanging:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)

    def work() -> None:
        newest = checkpoint.save_checkpoint(tmp_path, make(30), keep) if exchanging else tmp_path / "iter_20"
        checkpoint.save_best(tmp_path, make(30).weights, "", {"iteration": 30})
        if exchanging:
            checkpoint.update_record(newest, {"iteration": 30})

    steps = 0
    while True:
        for iteration in (10, 20):
            checkpoint.save_checkpoint(tmp_path, make(iteration), keep)
        checkpoint.save_best(tmp_path, make(20).weights, "", {"iteration": 20})
        (tmp_path / "best_model" / "notes.txt").write_text("mine")
        killed = killed_at(steps, work)
        if not exchanging:
            folders.sweep(tmp_path)  # as the next run does
        newest = checkpoint.latest_checkpoint(tmp_path)
        assert newest.name in ("iter_20", "iter_30")
        assert_is(checkpoint.load_checkpoint(newest), int(newest.name[5:]))
        assert len(best_iterations(tmp_path)) == 1
        if not killed:
            break
        # Files of the killed run do not affect the next one.
        checkpoint.save_checkpoint(tmp_path, make(40), keep)
        assert_is(checkpoint.load_checkpoint(tmp_path / "last"), 40)
        assert not list(tmp_path.glob(".*~")) and (tmp_path / "best_model" / "notes.txt").read_text() == "mine"
        for path in checkpoint.list_checkpoints(tmp_path):
            folders.remove(path)
        steps += 1
    assert newest.name == ("iter_30" if exchanging else "iter_20") and steps > 20


def best_iterations(folder: Path) -> set[int]:
    """What the files of the best model are of: one network if it is whole."""
    best = folder / "best_model"
    names = (checkpoint.WEIGHTS, "model.safetensors")
    found = {int(checkpoint.read_weights(best / name)["conv.weight"][0, 0]) for name in names}
    return found | {json.loads((best / "best.json").read_text())["iteration"]}


def test_round_trip(tmp_path: Path) -> None:
    path = checkpoint.save_checkpoint(tmp_path / "run", make(3))
    assert path == tmp_path / "run" / "iter_3" == checkpoint.latest_checkpoint(tmp_path / "run")
    assert_is(checkpoint.load_checkpoint(path), 3)
    assert_is(checkpoint.load_checkpoint(tmp_path / "run" / "last"), 3)
    np.testing.assert_array_equal(
        paddle.load(str(path / "model.pdparams"))["conv.weight"].numpy(), np.full([2, 3], 3.0)
    )


def test_checkpoints_are_sorted_by_number(tmp_path: Path) -> None:
    for iteration in (9, 20, 100):
        checkpoint.save_checkpoint(tmp_path, make(iteration), keep=2)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["iter_20", "iter_100"]


def test_without_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("not on this file system")

    monkeypatch.setattr(os, "symlink", refuse)
    for iteration in (1, 2):
        checkpoint.save_checkpoint(tmp_path, make(iteration))
    assert not (tmp_path / "last").is_symlink()
    assert_is(checkpoint.load_checkpoint(tmp_path / "last"), 2)


@pytest.mark.parametrize("name", ["model.pdparams", "model.safetensors"])
def test_the_best_model_in_both_formats(tmp_path: Path, name: str) -> None:
    checkpoint.save_best(tmp_path, make(1).weights, "iters: 9\n")
    checkpoint.save_best(tmp_path, make(2).weights, "iters: 9\n")
    assert checkpoint.read_weights(tmp_path / "best_model" / name)["conv.weight"][0, 0] == 2


@pytest.mark.parametrize("name", [checkpoint.TENSORS, checkpoint.ARRAYS, checkpoint.RECORD])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    path = checkpoint.save_checkpoint(tmp_path, make(1))
    (path / name).write_bytes(b"\x80garbage")
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        checkpoint.load_checkpoint(path)
    (path / name).unlink()
    if name == checkpoint.TENSORS:  # as in checkpoints of before
        assert_is(checkpoint.load_checkpoint(path), 1)
        name = checkpoint.WEIGHTS
        (path / name).unlink()
    with pytest.raises(UserError, match=f"has no {name}"):
        checkpoint.load_checkpoint(path)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        checkpoint.load_checkpoint(tmp_path / "iter_7")
    assert checkpoint.latest_checkpoint(tmp_path / "nowhere") is None
