"""``train.log``: what a training says stands in its folder, and never ends it."""

from __future__ import annotations

import builtins
import errno
import logging
import os
import re
import sys
from pathlib import Path

import pytest
from paddleseg.utils import logger as paddleseg_logger

from paddleseg_ext.cli.main import main
from paddleseg_ext.errors import UserError
from paddleseg_ext.training.reporting.run_log import LOG, RunLog
from tests.tiny_run import write_config, write_samples


def train(root: Path, *arguments: str) -> int:
    config = str(write_config(root))
    return main(["train", "--config", config, "--save_dir", str(root / "run"), "--device", "cpu", *arguments])


def test_it_has_what_the_screen_has_and_more(tmp_path: Path, capsys, monkeypatch) -> None:
    write_samples(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "--config", "道路 1.yml"])
    flags = ["--seed", "1", "--save_interval", "2", "--log_iters", "1"]
    assert train(tmp_path, "--iters", "2", *flags) == 0
    screen = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines() if line]
    lines = (tmp_path / "run" / LOG).read_text("utf-8").splitlines()
    assert re.match(r"==== \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]", lines[0])
    assert lines[1] == "python tools/train.py --config '道路 1.yml'"
    assert re.match(r"Paddle \d.*, PaddleSeg .*, paddleseg_ext .*, Python 3.*; cpu: ", lines[2])
    said = [line.split(" ", 2)[2] for line in lines[3:]]
    # before the folder is held, and after it is let go
    assert said == [line for line in screen if not line.startswith(("computing on", "finished"))]
    assert any("iter 2/2" in line for line in said) and "iterations 0 to 2" in said[0]


def test_a_resume_goes_on_below(tmp_path: Path) -> None:
    write_samples(tmp_path)
    flags = ["--seed", "1", "--save_interval", "2", "--log_iters", "1"]
    assert train(tmp_path, "--iters", "2", *flags) == 0
    before = (tmp_path / "run" / LOG).read_text("utf-8")
    assert train(tmp_path, "--iters", "3", "--resume", "auto", *flags) == 2
    assert (tmp_path / "run" / LOG).read_text("utf-8") == before  # refused before it held the folder
    assert train(tmp_path, "--iters", "3", "--resume", "auto", "--resume_anyway", *flags) == 0
    text = (tmp_path / "run" / LOG).read_text("utf-8")
    assert text.startswith(before) and text.count("==== ") == 2
    assert "resuming from" in text[len(before) :] and "iter 3/3" in text[len(before) :]
    assert "iter 2/" not in text[len(before) :]


def test_why_a_run_ended_and_what_paddleseg_said(make, tmp_path: Path, before_step) -> None:
    def fail(batches: list) -> None:
        paddleseg_logger.warning("said by PaddleSeg")
        raise UserError("a batch cannot be read")

    before_step(fail)
    with pytest.raises(UserError):
        make("run").run()
    text = (tmp_path / "run" / LOG).read_text("utf-8")
    assert "PaddleSeg: said by PaddleSeg" in text and "ended by UserError: a batch cannot be read" in text
    assert not [handler for handler in logging.getLogger("paddleseg_ext").handlers if isinstance(handler, RunLog)]


def test_a_full_disk_ends_no_training_and_is_made_up_for(make, tmp_path: Path, monkeypatch, caplog) -> None:
    full = [True]

    def refuse(path: object, mode: str = "r", *args: object, **kwargs: object) -> object:
        if full[0] and "a" in mode and os.fspath(path).endswith(LOG):  # type: ignore[arg-type]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *args, **kwargs)  # type: ignore[call-overload]

    opened = builtins.open
    trainer = make("run", iters=4, log_iters=1, save_interval=2)
    monkeypatch.setattr(builtins, "open", refuse)
    save = trainer.folder.save

    def room_again(*arguments: object) -> None:
        save(*arguments)
        full[0] = False

    monkeypatch.setattr(trainer.folder, "save", room_again)
    with caplog.at_level(logging.INFO, "paddleseg_ext"):
        assert trainer.run().iteration == 4
    told = [record.message for record in caplog.records if LOG in record.message]
    assert len(told) == 1 and "No space left on device); it is made up for later" in told[0]
    text = (tmp_path / "run" / LOG).read_text("utf-8")
    assert text.startswith("==== ") and [int(n) for n in re.findall(r"iter (\d)/4", text)] == [1, 2, 3, 4]


def test_a_trainer_that_is_not_built_leaves_no_listener(make, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        make("run", config={"val_dataset": None}, do_eval=True)
    assert not [handler for handler in logging.getLogger("paddleseg_ext").handlers if isinstance(handler, RunLog)]
