"""Reading a configuration: keys that nothing reads, `train:`, and modules to import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from paddleseg.cvlibs import Config

from paddleseg_ext.config.load import _Config, load_config, train_config
from paddleseg_ext.config.train import TrainConfig
from paddleseg_ext.errors import UserError
from tests.tiny_run import write_config, write_samples


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return write_samples(tmp_path)


def test_all_defaults_are_written_out(root: Path) -> None:
    config = load_config(write_config(root))
    assert config.dic["train"] == TrainConfig().to_section() == yaml.safe_load(str(config))["train"]


def test_flags_go_before_opts_and_opts_before_the_file(root: Path) -> None:
    path = write_config(root, train={"accumulate": 2, "ema": True, "log_iters": 3})
    config = load_config(path, opts=["train.accumulate=3", "train.log_iters=4"], train={"log_iters": 5})
    found = train_config(config)
    assert (found.accumulate, found.ema, found.log_iters) == (3, True, 5)


def test_opts_reach_train_without_a_section(root: Path) -> None:
    assert train_config(load_config(write_config(root), opts=["train.ema=True"])).ema


def test_bases_and_leaf_are_merged(root: Path) -> None:
    write_config(root, train={"accumulate": 2, "ema": True}).rename(root / "base.yml")
    (root / "leaf.yml").write_text("_base_: base.yml\ntrain: {accumulate: 4}\n")
    found = train_config(load_config(root / "leaf.yml"))
    assert (found.accumulate, found.ema) == (4, True)


@pytest.mark.parametrize(
    "wrong, likely",
    [("trian", "train"), ("lr_schedular", "lr_scheduler"), ("import", "imports"), ("batchsize", "batch_size")],
)
def test_a_top_level_key_that_nothing_reads_is_refused(root: Path, wrong: str, likely: str) -> None:
    with pytest.raises(UserError, match=rf"config.yml: .*unknown argument '{wrong}'; did you mean '{likely}'"):
        load_config(write_config(root, **{wrong: {}}))


@pytest.mark.parametrize(
    "section, message",
    [({"acumulate": 2}, "did you mean 'accumulate'"), ({"ema_decay": 2}, "train.ema_decay: 2"), ([1], "a section")],
)
def test_a_wrong_section_names_the_file(root: Path, section: object, message: str) -> None:
    with pytest.raises(UserError, match=rf"config\.yml: .*{message}"):
        load_config(write_config(root, train=section))


def test_paddlesegs_own_keys_pass(root: Path) -> None:
    load_config(write_config(root, to_static_training=False, export={"transforms": []}, test_config={}))


MODULE = """
from paddleseg_ext.registry import register_loss

@register_loss
def {name}(**keywords):
    raise NotImplementedError
"""


def test_modules_are_imported_from_bases_and_leaf_in_order(root: Path) -> None:
    from paddleseg.cvlibs import manager

    for name in ("first_module", "second_module"):
        (root / f"{name}.py").write_text(MODULE.format(name=f"loss_of_{name}"))
    write_config(root, imports=["first_module"]).rename(root / "base.yml")
    (root / "leaf.yml").write_text("_base_: base.yml\nimports: [second_module, first_module]\n")
    config = load_config(root / "leaf.yml")
    assert config.dic["imports"] == ["first_module", "second_module"]
    for name in ("first_module", "second_module"):
        assert manager.LOSSES.components_dict.pop(f"loss_of_{name}").__module__ == name
        del sys.modules[name]


@pytest.mark.parametrize(
    "imports, message",
    [
        (["no_such_module"], r"imports: no_such_module cannot be imported \(ModuleNotFoundError"),
        (["broken_module"], r"imports: broken_module cannot be imported \(ZeroDivisionError: division by zero\)"),
        (["taken_module"], r"'CrossEntropyLoss' is already registered, as a loss"),
        ([3], "it is a list of modules"),
        ({"a": 1}, "it is a list of modules"),
    ],
)
def test_what_cannot_be_imported_is_a_sentence(root: Path, imports: object, message: str) -> None:
    (root / "broken_module.py").write_text("1 / 0\n")
    (root / "taken_module.py").write_text(MODULE.format(name="CrossEntropyLoss"))
    with pytest.raises(UserError, match=message) as info:
        load_config(write_config(root, imports=imports))
    assert "config.yml" in str(info.value) and "\n" not in str(info.value)


def test_what_other_versions_of_paddleseg_replace_is_passed_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def update(cls: type, dic: dict, **replacements: object) -> dict:
        return {**dic, **{key: value for key, value in replacements.items() if value is not None}}

    monkeypatch.setattr(Config, "update_config_dict", classmethod(update))
    config: Any = yaml.safe_load(write_config(root).read_text())
    changed = _Config.update_config_dict(config, iters=3, to_static_training=True, opts=["batch_size=5"])
    assert (changed["iters"], changed["to_static_training"], changed["batch_size"]) == (3, True, 5)
