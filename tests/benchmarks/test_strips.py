"""README's strip of each head, from a training's folder."""

from __future__ import annotations

import json
from pathlib import Path

import cv2

from benchmarks import strips
from paddleseg_ext.cli.main import main
from tests.tiny_run import write_config, write_samples

MODEL = {
    "type": "EncoderDecoder",
    "backbone": {"type": "EfficientNet_lite0", "output_stride": 16},
    "decode_head": {"type": "PSPHead", "channels": 8, "bin_sizes": [1]},
}
LOSS = {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}


def test_a_strip_for_each_training(tmp_path: Path, monkeypatch) -> None:
    write_samples(tmp_path, 3)
    config, run = str(write_config(tmp_path, model=MODEL, loss=LOSS)), tmp_path / "run"
    words = ["--save_dir", str(run), "--device", "cpu", "--iters", "1", "--do_eval", "--seed", "1"]
    assert main(["train", "--config", config, *words]) == 0
    scores = [json.loads(line).get("miou", 0) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert strips.best_score(run) == 100 * max(scores) > 0
    titles: list[str] = []
    drawn = strips.side_by_side
    monkeypatch.setattr(strips, "side_by_side", lambda *args: titles.append(args[-1][2]) or drawn(*args))
    assert strips.main([str(run), str(run), "--index", "2", "--output", str(tmp_path / "out" / "heads.jpg")]) == 0
    assert titles == [f"PSPNet: mIoU {100 * max(scores):.1f}"] * 2
    picture = cv2.imread(str(tmp_path / "out" / "heads.jpg"))
    assert picture.shape[1] == strips.WIDTH
