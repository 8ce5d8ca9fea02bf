"""docs/python.md and its Chinese twin: their code runs as written, and is the same in both."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.checkpoint.save import save_best
from paddleseg_ext.config.text import to_yaml
from tests.export.test_fuse_bn import with_statistics
from tests.tiny_run import write_config, write_samples

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [(DOCS / name).read_text("utf-8") for name in ("python.md", "python_cn.md")]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.S)


def test_the_pages_have_the_same_shape() -> None:
    assert blocks(PAGES[0]) == blocks(PAGES[1])
    levels, names = zip(
        *([re.findall(pattern, page, re.M) for pattern in (r"^#+", r"^\| (`.*?) \|")] for page in PAGES)
    )
    assert levels[0] == levels[1]
    assert [re.findall("`.*?`", name) for name in names[0]] == [re.findall("`.*?`", name) for name in names[1]]


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_samples(tmp_path, 3)
    config = load_config(write_config(tmp_path))
    model = with_statistics(Builder(config).model)
    (tmp_path / "output").mkdir()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    save_best(tmp_path / "output", weights, to_yaml(config.dic))
    cv2.imwrite(str(tmp_path / "street.png"), cv2.resize(cv2.imread(str(tmp_path / "image0.png")), (50, 40)))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with pytest.warns(UserWarning, match="quickstart/pspnet|pspnet is a configuration without trained weights"):
        for block in blocks(PAGES[0]):
            exec(block, names)
    for key in ("again", "both"):
        np.testing.assert_array_equal(names[key] if key == "again" else names[key][1], names["pred"])
    assert names["pred"].shape == (40, 50) and len(np.unique(names["pred"])) > 1
    np.testing.assert_array_equal(np.asarray(Image.open("overlay.png")), names["picture"])
    for key in ("same", "weights"):
        np.testing.assert_array_equal(names[key].logits("street.png"), names["logits"])
    assert type(names["named"].network).__name__ == "EncoderDecoder"
