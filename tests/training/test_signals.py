"""Signals: the iteration is finished and saved, and what follows a resume is as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from paddleseg_ext.errors import UserError
from paddleseg_ext.training import losses
from tests.tiny_run import assert_same, weights


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_rest_equals_a_straight_run(make, before_step, tmp_path: Path, number: int) -> None:
    make("straight").run()
    trainer = make("stopped")

    def send_at_seventh(_: list[dict]) -> None:
        if trainer.state.iteration == 6:
            os.kill(os.getpid(), number)

    before_step(send_at_seventh)
    before = signal.getsignal(number)
    result = trainer.run()
    assert (result.signal, result.iteration, result.checkpoint.name) == (number, 7, "iter_7")
    assert signal.getsignal(number) == before
    make("stopped", resume=result.checkpoint).run()
    assert_same(weights(tmp_path / "straight" / "iter_20"), weights(tmp_path / "stopped" / "iter_20"))


def test_a_signal_while_the_processes_agree_is_not_lost(make, monkeypatch: pytest.MonkeyPatch) -> None:
    def agree(value: int) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return value

    trainer = make("run", iters=3)
    monkeypatch.setattr("paddleseg_ext.training.trainer.distributed.all_reduce_max", agree)
    result = trainer.run()
    assert (result.signal, result.iteration) == (signal.SIGTERM, 3)


def test_an_evaluation_cut_short_is_made_up_for(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "paddleseg_ext.training.validation.evaluate", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
        )
        result = make("run", do_eval=True).run()
    assert result.signal == signal.SIGTERM and result.checkpoint.name == "iter_10" and not result.best
    result = make("run", do_eval=True, resume=result.checkpoint).run()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [record["iter"] for record in map(json.loads, lines) if "miou" in record] == [10, 20]


def test_a_signal_within_the_loss_of_an_evaluation_is_no_failure_of_the_loss(
    make, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    compute = losses._compute_one_loss

    def interrupted(loss, output, outputs, labels, batch):
        if not batch:  # as in an evaluation
            os.kill(os.getpid(), signal.SIGTERM)
        return compute(loss, output, outputs, labels, batch)

    monkeypatch.setattr(losses, "_compute_one_loss", interrupted)
    result = make("run", do_eval=True).run()
    assert (result.signal, result.iteration, result.best) == (signal.SIGTERM, 10, {})
    assert "no validation loss" not in caplog.text


def test_an_interval_of_the_log_goes_on_after_a_resume(make, before_step, tmp_path: Path) -> None:
    make("straight", log_iters=5).run()
    trainer = make("stopped", log_iters=5)
    before_step(lambda _: trainer.state.iteration == 6 and os.kill(os.getpid(), signal.SIGTERM))
    make("stopped", log_iters=5, resume=trainer.run().checkpoint).run()
    a, b = (
        [(record["iter"], record["loss"], record["losses"], record["grad_norm"]) for record in map(json.loads, lines)]
        for lines in ((tmp_path / name / "metrics.jsonl").open() for name in ("straight", "stopped"))
    )
    assert a == b and len(a) == 4


@pytest.mark.parametrize("part", ["train_dataset", "val_dataset"])
def test_a_stopped_worker_ends_the_run_in_a_sentence(make, tmp_path: Path, part: str) -> None:
    trainer = make("run", iters=40, num_workers=1, loader_timeout=1, do_eval=True)
    dataset = getattr(trainer, part)

    here = os.getpid()

    class Stops(type(dataset)):
        def __getitem__(self, index: int):
            if os.getpid() != here and index == 3:
                os.kill(os.getpid(), signal.SIGSTOP)
            return super().__getitem__(index)

    dataset.__class__ = Stops
    with pytest.raises(UserError, match=r"\d+ is stopped.* delivered nothing for 1 s"):
        trainer.run()
