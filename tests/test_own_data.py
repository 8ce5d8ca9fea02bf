"""docs/own_data.md and its Chinese twin: their commands lead from two folders to a trained network and its pictures."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext.cli import main
from tests.data.prepare.trees import save

DOCS = Path(__file__).parents[1] / "docs"


def commands_of(document: str) -> list[list[str]]:
    block = re.search(r"```bash\n(.*?)```", (DOCS / document).read_text("utf-8"), re.DOTALL)
    assert block is not None
    lines = [shlex.split(line) for line in block.group(1).splitlines()]
    for python, script, *_ in lines:
        assert python == "python" and (DOCS.parent / script).is_file()
    return [[Path(script).stem, *arguments] for _, script, *arguments in lines]


def test_both_languages_give_the_same_commands() -> None:
    assert commands_of("own_data.md") == commands_of("own_data_cn.md")


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    random = np.random.default_rng(0)
    for number in range(8):
        label = np.zeros((64, 64), np.uint8)
        label[8 + number : 40 + number, 16:48] = 1
        image = np.where(label[..., None] == 1, [40, 160, 40], [90, 80, 70]) + random.integers(0, 30, (64, 64, 3))
        save(tmp_path / "photos" / f"leaf {number}.png", image)
        save(tmp_path / "masks" / f"leaf {number}.png", label)
    monkeypatch.chdir(tmp_path)
    for command, *arguments in commands_of("own_data.md"):
        short = {"train": ["--iters", "2", "--save_interval", "2"]}.get(command, [])
        device = [] if command == "prepare" else ["--device", "cpu"]
        assert main.main([command, *arguments, *device, *short]) == 0, capsys.readouterr().err
    output = tmp_path / "output" / "mine"
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    assert re.findall(r"\w+$", (tmp_path / "data/mine/labels.txt").read_text(), re.MULTILINE) == ["background", "leaf"]
    for page in (output / "check.html", output / "report" / "index.html"):
        assert "leaf" in page.read_text("utf-8")
    drawn = {path.stem for path in (output / "predictions").rglob("leaf *.*")}
    assert drawn == {f"leaf {number}" for number in range(8)}
