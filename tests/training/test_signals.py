"""Signals: the iteration is finished and saved, and what follows a resume is as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

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
