"""Only what is our own is removed, whatever else stands beside it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from paddleseg_ext.checkpoint import folders, save
from paddleseg_ext.checkpoint.atomic import temporary
from tests.checkpoint.test_save import best_iterations, make


def test_a_users_backups_stay(tmp_path: Path) -> None:
    for name in ("thesis.tex~", "iter_5~", "config.yml~", "metrics.jsonl~", ".bashrc~", ".iter_x~"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "photos~").mkdir()
    (tmp_path / "photos~" / "a.jpg").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for iteration in (1, 2, 3):
        save.save_checkpoint(tmp_path, make(iteration), keep=1)
        save.save_best(tmp_path, make(iteration).weights, "")
    assert before == {path: path.read_bytes() for path in before}


def test_a_users_files_in_a_removed_checkpoint_stay(tmp_path: Path) -> None:
    save.save_checkpoint(tmp_path, make(1))
    (tmp_path / "iter_1" / "export").mkdir()
    (tmp_path / "iter_1" / "export" / "model.onnx").write_text("mine")
    save.save_checkpoint(tmp_path, make(2), keep=1)
    assert [path.name for path in save.list_checkpoints(tmp_path)] == ["iter_2"]
    assert [str(path.relative_to(tmp_path)) for path in (tmp_path / "iter_1").rglob("*.*")] == [
        "iter_1/export/model.onnx"
    ]


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_users_files_in_the_best_model_move_along(tmp_path: Path, monkeypatch, exchanging: bool) -> None:
    if not exchanging:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
    save.save_best(tmp_path, make(1).weights, "", {"iteration": 1})
    (tmp_path / "best_model" / "report.html").write_text("mine")
    save.save_best(tmp_path, make(2).weights, "", {"iteration": 2})
    assert best_iterations(tmp_path) == {2}
    assert (tmp_path / "best_model" / "report.html").read_text() == "mine"
    assert os.listdir(tmp_path) == ["best_model"]


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    save.save_checkpoint(tmp_path, make(1))
    for name in ("iter_2", "removed_iter_0", "best_model"):
        hidden = temporary(tmp_path / name)
        hidden.mkdir()
        (hidden / "model.pdparams").write_bytes(b"cut sho")
        (hidden / ".training.json~").write_bytes(b"{")
    temporary(tmp_path / "metrics.jsonl").write_text("{}")
    folders.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["iter_1", "last"]


def test_names_set_aside_do_not_meet(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "metrics.jsonl").write_text(str(number))
        folders.set_aside(tmp_path / "metrics.jsonl", "old")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "metrics_old.jsonl": "0",
        "metrics_old_2.jsonl": "1",
        "metrics_old_3.jsonl": "2",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two names are not exchanged")
def test_linux_exchanges_two_names(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "is").write_text(name)
    if not folders.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot")
    assert (tmp_path / "a" / "is").read_text() == "b"


@pytest.mark.skipif(os.name == "nt", reason="no such modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_modes_are_as_the_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save.save_checkpoint(tmp_path, make(1))
        save.save_best(tmp_path, make(1).weights, "")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 8 and {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}


def test_the_numbers_of_checkpoints_are_plain(tmp_path: Path) -> None:
    save.save_checkpoint(tmp_path, make(7))
    for name in ("iter_007", "iter_8_before_resume_from_7", "iter_٣"):
        (tmp_path / name).mkdir()
        (tmp_path / name / save.RECORD).write_text("{}")
    assert [path.name for path in save.list_checkpoints(tmp_path)] == ["iter_7"]
