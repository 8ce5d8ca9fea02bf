"""The examples run as they stand, with fewer iterations and pictures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


FEWER = {"train_images": 8, "val_images": 2}


def run(folder: Path, *words: str) -> str:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_base(folder: Path) -> None:
    """The quick start's configuration under a name of its own, with fewer pictures, which take seconds to draw."""
    content = {"_base_": "quickstart/deeplabv3plus", "train_dataset": FEWER, "val_dataset": FEWER}
    (folder / "fewer.yml").write_text(yaml.safe_dump(content), "utf-8")


def test_compose(tmp_path: Path) -> None:
    write_base(tmp_path)
    text = (ROOT / "examples" / "compose.py").read_text("utf-8")
    for pattern, instead in ((r"^ITERS = \d+", "ITERS = 2"), (r"^_base_: quickstart/\w+", "_base_: ../../fewer.yml")):
        text, count = re.subn(pattern, instead, text, flags=re.M)
        assert count == 1
    (tmp_path / "compose.py").write_text(text, "utf-8")
    assert "percent of the picture: {" in run(tmp_path, "compose.py")
    assert (tmp_path / "output" / "compose" / "prediction.png").is_file()


def test_own_head(tmp_path: Path) -> None:
    write_base(tmp_path)
    folder = tmp_path / "own_head"
    shutil.copytree(ROOT / "examples" / "own_head", folder)
    config = folder / "config.yml"
    config.write_text(config.read_text("utf-8").replace("_base_: quickstart/deeplabv3plus", "_base_: ../fewer.yml"))
    few = ["--iters", "2", "--save_interval", "2", "--save_dir", "output"]
    run(folder, "-m", "paddleseg_ext", "train", "--config", "config.yml", "--do_eval", *few)
    heads = json.loads(run(folder, "-m", "paddleseg_ext", "list", "heads", "--config", "config.yml", "--json"))
    assert "StripHead" in {entry["name"] for entry in heads}
    assert (folder / "output" / "best_model" / "model.safetensors").is_file()
