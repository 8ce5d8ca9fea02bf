"""A reader's folder: what the pages take for granted, small enough that all that they show runs in seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from paddleseg.cvlibs import manager

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.checkpoint.save import save_best
from paddleseg_ext.cli import main
from paddleseg_ext.config.files import read_files
from paddleseg_ext.config.shipped import ENDINGS, config_path
from paddleseg_ext.config.text import to_yaml
from tests.conftest import TinyBackbone
from tests.docs.commands import Command, commands_of
from tests.docs.pages import ROOT, Page
from tests.export.test_fuse_bn import with_statistics
from tests.forgetting import forgetting
from tests.tiny_run import write_samples


@manager.BACKBONES.add_component
class SmallBackbone(TinyBackbone):
    """The tests' backbone, for the channels that a data set says."""

    def __init__(self, output_stride: int = 8, in_channels: int = 3) -> None:
        super().__init__(output_stride)


CLASSES = ["background", "road", "car"]
NEVER = {"benchmark", "run"}  # minutes; a checkout of PaddleSeg
NO_DEVICE = {"prepare", "convert", "list", "init", "compare"}
RUNS = {"output": "pspnet", "output/pspnet": "pspnet", "output/quickstart": "fastfcn"}  # folders and networks
FEW = ["--iters", "2", "--save_interval", "2"]


def small(content: dict[str, Any], data: Path) -> dict[str, Any]:
    """A configuration with the same sections and heads, on a tiny backbone, narrow, over tiny data."""
    narrow = yaml.safe_load(re.sub(r"(channels: )\d+", r"\g<1>8", yaml.safe_dump(content)))
    for loss in narrow["loss"]["types"]:
        for term in loss.get("losses", [loss]):
            if "weight" in term:
                term["weight"] = term["weight"][: len(CLASSES)]
    backbone = narrow["model"].get("backbone", {})
    stride = backbone.get("output_stride", 16)
    section = {"type": "SegmentationFolder", "dataset_root": str(data)}
    section["transforms"] = content["val_dataset"]["transforms"]
    crop = {"type": "RandomPaddingCrop", "crop_size": [32, 32]}
    train = {**section, "mode": "train", "transforms": [crop, *section["transforms"]]}
    return {
        **narrow,
        "batch_size": 2,
        "iters": 4,
        "model": {**narrow["model"], "backbone": {"type": "SmallBackbone", "output_stride": stride}},
        "train_dataset": train,
        "val_dataset": {**section, "mode": "val"},
    }


class Reader:
    """Somebody who does what a page says, block by block, in a folder of their own.

    Args:
        folder: Empty.
        data: Of `tiny_data`.
        weights: Of `tiny_weights`.

    Attributes:
        names: What the page's Python has defined.
        ran: Commands and scripts, in order.
        lacking: A package that a script is to do without, by the script's name.
    """

    def __init__(self, folder: Path, data: Path, weights: dict[str, Path]) -> None:
        self.folder, self.data = folder, data
        self.names: dict[str, Any] = {}
        self.ran: list[str] = []
        self.lacking: dict[str, str] = {}
        shutil.copytree(data / "photos", folder / "photos")
        shutil.copytree(data / "masks", folder / "masks")
        shutil.copytree(data, folder / "data" / "mine", ignore=shutil.ignore_patterns("photos", "masks"))
        shutil.copy(data / "street.png", folder)
        for run, network in RUNS.items():
            shutil.copytree(weights[network], folder / run / "best_model")

    def follow(self, page: Page, *, training: bool = True) -> Reader:
        """Do all that a page shows; commands that leave something to fill in, and those for others, are only read."""
        for block in page.blocks:
            if block.file and block.language in ("python", "yaml"):
                self._write(block.file, block.text)
        for block in page.code("yaml"):
            if block.file:
                assert Builder(load_config(block.file), pretrained=False).model.output_names
        for block in page.blocks:
            if block.language == "bash":
                for command in commands_of(block):
                    self.run(command, training)
            elif block.language == "python" and not block.file:
                exec(compile(block.text, f"{page}, line {block.line}", "exec"), self.names)
        return self

    def run(self, command: Command, training: bool) -> None:
        if not command.complete or command.launched:
            return
        if command.words[0] == "python" and (self.folder / command.words[1]).is_file():
            self.start(*command.words[1:])
        elif command.own and command.own[0] not in NEVER and (training or command.own[0] != "train"):
            name, arguments = command.own
            before = [name, *arguments]
            arguments = [self._shipped(word) if flag == "--config" else word for flag, word in zip(before, arguments)]
            arguments += [] if name in NO_DEVICE else ["--device", "cpu"]
            arguments += FEW if name == "train" and "--dry_run" not in arguments else []
            arguments += ["--no_verify"] if name == "export" else []  # which tests of its own hold it to
            assert main.main([name, *arguments]) in (0, 1 if name == "check" else 0), command
            self.ran.append(name)

    def start(self, script: str, *arguments: str) -> None:
        """Run a script in a process of its own."""
        paths = [str(ROOT)]
        if lacking := self.lacking.get(script):
            hidden = self.folder / f"without_{lacking}"
            hidden.mkdir()
            (hidden / f"{lacking}.py").write_text(f"raise ImportError('{lacking} is not here')")
            paths = [str(hidden)]
        done = subprocess.run(
            [sys.executable, script, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.ran.append(script)
        if (result := self.folder / "ids.png").is_file():
            result.rename(self.folder / f"{script}.png")

    def _shipped(self, config: str) -> str:
        """A configuration of the clone or, by its name, of the package, made small; others as they are."""
        if config.startswith("configs/") or Path(config).suffix not in ENDINGS:
            config = str(self.tiny_config(config_path(ROOT / config if "." in config else config).relative_to(ROOT)))
        return config

    def tiny_config(self, name: str | Path) -> Path:
        """The file of that name, made small."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(small(read_files(ROOT / name).content, self.data)), encoding="utf-8")
        return path

    def _write(self, name: str, text: str) -> None:
        """Write a file of one's own, over a configuration of the quick start made small."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = re.sub(r"(?<=^_base_: )quickstart/\w+$", lambda found: self._shipped(found[0]), text, flags=re.M)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and labels in the folders of a `SegmentationFolder`, photos with masks, and a picture."""
    root = tmp_path_factory.mktemp("data")
    write_samples(root, 4)
    for kind, name in (("images", "image"), ("labels", "label")):
        for mode in ("train", "val"):
            (root / kind / mode).mkdir(parents=True)
            for number in range(4):
                shutil.copy(root / f"{name}{number}.png", root / kind / mode / f"{number}.png")
    (root / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    street = cv2.resize(cv2.imread(str(root / "image0.png")), (50, 40))
    cv2.imwrite(str(root / "street.png"), street)
    random = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (root / folder).mkdir()
    for number in range(8):
        label = np.zeros((64, 64), np.uint8)
        label[8 + number : 40 + number, 16:48] = 1
        image = np.where(label[..., None] == 1, [40, 160, 40], [90, 80, 70]) + random.integers(0, 30, (64, 64, 3))
        cv2.imwrite(str(root / "photos" / f"leaf {number}.png"), image.astype(np.uint8))
        cv2.imwrite(str(root / "masks" / f"leaf {number}.png"), label)
    for path in [*root.glob("image*.png"), *root.glob("label?.png"), root / "train.txt"]:
        path.unlink()
    return root


@pytest.fixture(scope="session")
def tiny_weights(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks of the quick start by name, with their configuration and classes, as a training leaves them."""
    found = {}
    for name in dict.fromkeys(RUNS.values()):
        folder = tmp_path_factory.mktemp("run")
        content = small(read_files(ROOT / "configs" / "quickstart" / f"{name}.yml").content, tiny_data)
        (folder / "config.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        config = load_config(folder / "config.yml")
        model = with_statistics(Builder(config).model)
        save_best(folder, {name: value.numpy() for name, value in model.state_dict().items()}, to_yaml(config.dic))
        found[name] = folder / "best_model"
    return found


@pytest.fixture
def reader(
    tmp_path: Path, tiny_data: Path, tiny_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """In an empty folder, the current one; what pages register and import is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    with forgetting(tmp_path):
        yield Reader(tmp_path, tiny_data, tiny_weights)
