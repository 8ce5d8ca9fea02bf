"""The examples run as they stand, with fewer iterations and pictures."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from paddleseg_ext.cli.main import main
from tests.forgetting import forgetting

ROOT = Path(__file__).resolve().parents[1]
FEWER = {"train_images": 4, "val_images": 1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current one, with the quick start's configuration for fewer pictures, which take seconds to draw."""
    content = {"_base_": "quickstart/deeplabv3plus", "batch_size": 2, "train_dataset": FEWER, "val_dataset": FEWER}
    (tmp_path / "fewer.yml").write_text(yaml.safe_dump(content), "utf-8")
    monkeypatch.chdir(tmp_path)
    with forgetting(tmp_path):
        yield tmp_path


def test_compose(folder: Path, capsys: pytest.CaptureFixture) -> None:
    text = (ROOT / "examples" / "compose.py").read_text("utf-8")
    for pattern, instead in ((r"^ITERS = \d+", "ITERS = 2"), (r"^_base_: quickstart/\w+", "_base_: ../../fewer.yml")):
        text, count = re.subn(pattern, instead, text, flags=re.M)
        assert count == 1
    (folder / "compose.py").write_text(text, "utf-8")
    runpy.run_path("compose.py", run_name="__main__")
    assert "percent of the picture: {" in capsys.readouterr().out
    assert (folder / "output" / "compose" / "prediction.png").is_file()


def test_own_head(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    example = folder / "own_head"
    shutil.copytree(ROOT / "examples" / "own_head", example)
    config = example / "config.yml"
    config.write_text(config.read_text("utf-8").replace("_base_: quickstart/deeplabv3plus", "_base_: ../fewer.yml"))
    monkeypatch.chdir(example)
    few = ["--iters", "2", "--save_interval", "2", "--save_dir", "output"]
    assert main(["train", "--config", "config.yml", "--do_eval", *few]) == 0
    capsys.readouterr()
    assert main(["list", "heads", "--config", "config.yml", "--json"]) == 0
    assert "StripHead" in {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert (example / "output" / "best_model" / "model.safetensors").is_file()
