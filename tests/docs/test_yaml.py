"""Every YAML block is one that a configuration can have: it is read, and its model, losses and data sets are built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.config.files import read_files
from paddleseg_ext.training.losses import check_count
from tests.docs.conftest import Reader, small
from tests.docs.pages import ENGLISH, ROOT, Block, Page

BLOCKS = [(page, block) for page in ENGLISH for block in page.code("yaml") if not block.file]


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page}-{block.line}" for page, block in BLOCKS])
def test_block(page: Page, block: Block, reader: Reader) -> None:
    """Files of one's own are walked through with their pages; what is left are pieces, laid over a whole file."""
    content = yaml.safe_load(block.text)
    for file in page.code("python"):
        if file.file:
            (reader.folder / file.file).write_text(file.text, encoding="utf-8")
    path = reader.folder / "piece.yml"
    path.write_text(yaml.safe_dump({"_base_": str(_base(reader, content)), **content}), encoding="utf-8")
    config = load_config(path)
    if config.dic["model"]["backbone"]["type"] == "ResNet50_vd":  # the same, built in a third of the time
        config.dic["model"]["backbone"]["type"] = "ResNet18_vd"
    builder = Builder(config, pretrained=False)
    names = builder.model.output_names
    if "loss" in content or "auxiliary_heads" in content.get("model", {}):
        check_count(names, builder.loss)
    for section in ("train_dataset", "val_dataset"):
        if section in content:
            assert len(getattr(builder, section))
    if "optimizer" in content or "lr_scheduler" in content:
        assert builder.optimizer


def _base(reader: Reader, content: dict[str, Any]) -> Path:
    """A whole configuration without the sections that a piece gives whole: those that name a type, or several.

    Where a piece has one of the two data sets, the other's images are normalized alike.
    """
    whole = small(read_files(ROOT / "configs" / "quickstart" / "pspnet.yml").content, reader.data)
    for key, section in content.items():
        if isinstance(section, dict) and {"type", "types"} & section.keys():
            whole.pop(key, None)
    for section in ("train_dataset", "val_dataset"):
        if given := content.get(section, {}).get("transforms"):
            for other in {"train_dataset", "val_dataset"} & whole.keys():
                whole[other]["transforms"][-1] = given[-1]
    path = reader.folder / "whole.yml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return path
