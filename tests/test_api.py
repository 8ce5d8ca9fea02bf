"""`paddleseg_ext.load`: what it reads, what `predict` gives, and that both are what the commands give."""

from __future__ import annotations

import ast
import copy
import io
import json
import pickle
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

import paddleseg_ext
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.checkpoint.save import Checkpoint, save_checkpoint
from paddleseg_ext.cli.main import main
from paddleseg_ext.config.shipped import config_path, shipped_configs
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.task import Task
from tests.export.test_fuse_bn import with_statistics
from tests.tiny_run import CLASSES, write_config, write_samples

NAMES = ["sky", "road", "a tree"]
COLORS = [[1, 2, 3], [250, 0, 9], [0, 99, 0]]
RESIZING = [{"type": "Resize", "target_size": [48, 40]}, {"type": "Normalize"}]
WINDOWS = {"is_slide": True, "crop_size": [24, 24], "stride": [16, 16]}
BATCH_TOLERANCE = 1e-5  # of the largest logit; two images at once are summed in another order


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with its configuration in three forms, and three images; the data themselves are gone."""
    root = tmp_path_factory.mktemp("api")
    data = root / "data"
    for folder in ("images", "labels"):
        (data / folder).mkdir(parents=True)
    write_samples(root, 3)
    for number in range(3):
        picture = cv2.imread(str(root / f"image{number}.png"))
        cv2.imwrite(str(data / "images" / f"{number}.png"), cv2.resize(picture, (40 + 9 * (number // 2), 35)))
        (root / f"label{number}.png").rename(data / "labels" / f"{number}.png")
    lines = [f"{r} {g} {b} {name}\n" for (r, g, b), name in zip(COLORS, NAMES)]
    (data / "labels.txt").write_text("".join(lines), encoding="utf-8")
    section = {"type": "SegmentationFolder", "dataset_root": str(data), "transforms": RESIZING}
    config = write_config(
        root,
        train_dataset={**section, "mode": "train"},
        val_dataset={**section, "mode": "val"},
        test_config={"aug_eval": True, "scales": [1.0, 1.5], "flip_horizontal": True},
    )
    paddle.seed(3)
    builder = Builder(load_config(config))
    model = with_statistics(builder.model)
    paddle.save(model.state_dict(), str(root / "w.pdparams"))
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    text = yaml.safe_dump(dict(builder.config.dic))
    save_checkpoint(root / "run", Checkpoint(weights, {}, {"iteration": 7}, text))
    export = ["export", "--config", str(config), "--model_path", str(root / "w.pdparams"), "--save_dir"]
    assert main([*export, str(root / "export"), "--no_verify", "--output_op", "none", "--device", "cpu"]) == 0
    (data / "images").rename(root / "images")
    config.unlink()
    shutil.rmtree(data)
    return root


def by_command(root: Path, target: Path, *flags: str) -> dict[str, np.ndarray]:
    images = ["--image_path", str(root / "images"), "--save_dir", str(target), "--device", "cpu"]
    assert main(["predict", *images, *flags]) == 0
    return {path.name: np.asarray(Image.open(path)) for path in sorted((target / "ids").iterdir())}


@pytest.mark.parametrize("form", ["checkpoint", "run", "export", "weights"])
def test_three_lines_give_what_the_command_gives(root: Path, tmp_path: Path, form: str) -> None:
    config = root / "run" / "iter_7" / "config.yml"
    source = {"checkpoint": "run/iter_7", "run": "run", "export": "export", "weights": "w.pdparams"}[form]
    weights = ["--config", str(config), "--model_path", str(root / "w.pdparams")]
    expected = by_command(root, tmp_path, *(["--exported", str(root / "export")] if form == "export" else weights))
    model = paddleseg_ext.load(root / source, config if form == "weights" else None, device="cpu")
    found = model.predict([root / "images" / name for name in expected])
    for pred, wanted in zip(found, expected.values()):
        assert pred.dtype == np.uint8 and len(np.unique(pred)) > 1
        np.testing.assert_array_equal(pred, wanted)
    assert model.classes == NAMES and model.palette.tolist() == COLORS


def test_an_image_in_every_form_gives_the_same(root: Path) -> None:
    model = paddleseg_ext.load(root / "run", device="cpu")
    path = root / "images" / "0.png"
    expected = model.predict(path)
    rgb = np.asarray(Image.open(path))
    for image in (str(path), rgb, Image.open(path), Image.open(path).convert("RGBA")):
        np.testing.assert_array_equal(model.predict(image), expected)
    gray = rgb[..., 0]
    pictures = [gray, gray[..., None], Image.fromarray(gray), np.stack([gray] * 3, -1)]
    of_gray = model.predict(pictures)
    assert all((pred == of_gray[-1]).all() for pred in of_gray) and (of_gray[0] != expected).any()
    turned = Image.fromarray(np.rot90(rgb))
    turned.getexif()[274] = 6  # to be turned clockwise
    np.testing.assert_array_equal(model.predict(turned), expected)
    assert model.predict([]) == []


def test_settings_of_load_and_of_predict(root: Path, tmp_path: Path) -> None:
    path = root / "images" / "2.png"
    flags = ["--is_slide", "--crop_size", "24", "24", "--stride", "16", "16"]
    config = ["--config", str(root / "run/iter_7/config.yml"), "--model_path", str(root / "run/iter_7")]
    expected = by_command(root, tmp_path, *config, *flags)["2.png"]
    plain = paddleseg_ext.load(root / "run", device="cpu")
    np.testing.assert_array_equal(plain.predict(path, **WINDOWS), expected)
    sliding = paddleseg_ext.load(root / "run", device="cpu", **WINDOWS)
    np.testing.assert_array_equal(sliding.predict(path), expected)
    np.testing.assert_array_equal(sliding.predict(path, is_slide=False), plain.predict(path))


def test_logits(root: Path) -> None:
    model = paddleseg_ext.load(root / "run", device="cpu")
    paths = [root / "images" / f"{number}.png" for number in range(3)]
    for logits, pred in zip(model.logits(paths), model.predict(paths)):
        assert logits.dtype == np.float32 and logits.shape == (CLASSES, *pred.shape)
        np.testing.assert_array_equal(logits.argmax(0), pred)
    single = model.logits(paths[0])
    exported = paddleseg_ext.load(root / "export", device="cpu").logits(paths[0])
    np.testing.assert_allclose(exported, single, rtol=0, atol=1e-4 * np.abs(single).max())


def test_batches_are_of_one_size(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = paddleseg_ext.load(root / "run", device="cpu", aug_eval=False)
    sizes = []
    forward = type(model.network).forward
    monkeypatch.setattr(type(model.network), "forward", lambda self, x: sizes.append(x.shape[0]) or forward(self, x))
    paths = [root / "images" / f"{number}.png" for number in (0, 1, 2, 0, 1)]
    singles = model.predict(paths)
    assert sizes == [1] * 5
    batches = model.predict(paths, batch=2)
    assert sizes[5:] == [2, 2, 1]
    for index, (pred, single) in enumerate(zip(batches, singles)):
        logits = np.sort(model.logits(paths[index]), axis=0)
        unsure = logits[-1] - logits[-2] < BATCH_TOLERANCE * np.abs(logits).max()
        assert pred.shape == single.shape and ((pred == single) | unsure).all()
    model.task = Task(model.task.classes, model.palette, [])  # images keep their sizes
    del sizes[:]
    model.predict(paths, batch=4)
    assert sizes == [2, 1, 2]


def test_pictures_in_a_notebook(root: Path) -> None:
    model = paddleseg_ext.load(root / "run", device="cpu")
    path = root / "images" / "0.png"
    pred, drawn = model.predict(path), model.overlay(path)
    shown = np.asarray(Image.open(io.BytesIO(pred._repr_png_())))
    np.testing.assert_array_equal(shown, np.array(COLORS)[pred])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(pred[3:9]._repr_png_()))), shown[3:9])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(drawn._repr_png_()))), drawn)
    assert type(pred == 1) is np.ndarray and (pred == 1).dtype == bool and np.isscalar(pred.max() + 0)
    assert pickle.loads(pickle.dumps(pred))._repr_png_() == copy.deepcopy(pred)._repr_png_() == pred._repr_png_()
    assert pred.reshape(-1)._repr_png_() is None and drawn[..., 0]._repr_png_() is None
    rgb = np.asarray(Image.open(path))
    assert (model.overlay(path, opacity=0) == rgb).all() and (model.overlay(path, opacity=1) == shown).all()
    assert np.abs(drawn - (0.6 * rgb + 0.4 * shown)).max() <= 0.5
    with_legend = model.overlay(path, legend=True)
    assert (with_legend[: len(rgb), : rgb.shape[1]] == drawn).all() and with_legend.shape[0] > len(rgb)
    assert with_legend._repr_png_() is not None
    assert {*map(tuple, COLORS)} <= {*map(tuple, model.legend().reshape(-1, 3).tolist())}
    assert len(model.overlay([path, path])) == 2


@pytest.mark.parametrize("form", ["run", "export"])
def test_what_is_saved_is_read_again(root: Path, tmp_path: Path, form: str) -> None:
    model = paddleseg_ext.load(root / form, device="cpu")
    again = paddleseg_ext.load(model.save(tmp_path / "deep" / "saved"), device="cpu")
    path = root / "images" / "1.png"
    np.testing.assert_array_equal(again.logits(path), model.logits(path))
    assert again.classes == NAMES and again.palette.tolist() == COLORS
    model.save(tmp_path / "deep" / "saved")  # once more, over it
    again.save(tmp_path / "deep" / "saved")  # into its own folder
    assert again.task.test_config == model.task.test_config


def test_classes_beside_weights_come_first(root: Path, tmp_path: Path) -> None:
    shutil.copyfile(root / "w.pdparams", tmp_path / "w.pdparams")
    record = {"classes": ["x", "y", "z"], "palette": COLORS[::-1]}
    (tmp_path / "w.json").write_text(json.dumps(record), encoding="utf-8")
    config = root / "run" / "iter_7" / "config.yml"
    model = paddleseg_ext.load(tmp_path / "w.pdparams", config, device="cpu")
    assert model.classes == ["x", "y", "z"] and model.palette.tolist() == COLORS[::-1]
    saved = paddleseg_ext.load(model.save(tmp_path / "saved"), device="cpu")
    assert saved.classes == model.classes and saved.palette.tolist() == model.palette.tolist()
    (tmp_path / "w.json").write_text(json.dumps({"classes": ["x"], "palette": [[0, 0, 0]]}), encoding="utf-8")
    assert paddleseg_ext.load(tmp_path / "w.pdparams", config, device="cpu").classes == NAMES


def test_training_keeps_the_classes(tmp_path: Path) -> None:
    write_samples(tmp_path, 4)
    target = ["--save_dir", str(tmp_path / "run"), "--iters", "2", "--save_interval", "2", "--device", "cpu"]
    assert main(["train", "--config", str(write_config(tmp_path)), "--do_eval", *target]) == 0
    for folder in ("run/best_model", "run/iter_2"):
        entries = json.loads((tmp_path / folder / "classes.json").read_text("utf-8"))
        assert [entry["name"] for entry in entries] == ["class 0", "class 1", "class 2"]
        entries[1] = {"name": "renamed", "color": [7, 8, 9]}
        (tmp_path / folder / "classes.json").write_text(json.dumps(entries), encoding="utf-8")
        model = paddleseg_ext.load(tmp_path / folder, device="cpu")
        assert model.classes[1] == "renamed" and model.palette[1].tolist() == [7, 8, 9]


def test_a_configuration_alone_is_untrained(root: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="config is a configuration without trained weights, so .* random ones; load"):
        model = paddleseg_ext.load(root / "run" / "iter_7" / "config.yml", device="cpu")
    assert model.predict(root / "images" / "0.png").shape == (35, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # weights that do come are nothing to warn of, and nothing else is fetched
        config = yaml.safe_load((root / "run" / "iter_7" / "config.yml").read_text("utf-8"))
        config["model"]["pretrained"] = "https://nowhere.invalid/never.pdparams"
        (tmp_path / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        shutil.copyfile(root / "w.pdparams", tmp_path / "model.pdparams")
        again = paddleseg_ext.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(
        again.predict(root / "images" / "0.png"),
        paddleseg_ext.load(root / "run", device="cpu").predict(root / "images" / "0.png"),
    )


def test_names_of_shipped_configurations() -> None:
    name = "pspnet_resnet50_vd_os8_cityscapes_1024x512_80k"
    assert config_path(name) == config_path(f"{name}.yml") == config_path(f"pspnet/{name}")
    assert config_path("quickstart/pspnet").parts[-2:] == ("quickstart", "pspnet.yml")
    assert len(shipped_configs()) > 50 and not any(key.startswith("_base_") for key in shipped_configs())
    with pytest.raises(UserError, match=f"comes with the package; did you mean '{name}'"):
        paddleseg_ext.load(name.replace("pspnet", "pspnt"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("images",), "images: there is no network in this folder"),
        (("w.pdparams",), "`config`: give the configuration of"),
        (("run", None, {"crop": 3}), "unknown argument 'crop'; did you mean 'crop_size'"),
        (("run", None, {"crop_size": [8, 8]}), "`crop_size`: without `is_slide` there is no effect"),
        (("run", None, {"backend": "onnx"}), "`backend`: only an exported folder"),
        (("run", None, {"device": "tpu"}), "`device` tpu: there is no such device"),
        (("export", None, {"precision": "fp16"}), "`precision`: "),
        (("run/iter_7/config.yml", "quickstart/pspnet"), "is a configuration itself"),
        (("no/such",), "there is no such file"),
        (("",), "`source`: .* is not allowed|there is no"),
    ],
)
def test_mistakes_of_load_are_told(root: Path, arguments: tuple, words: str) -> None:
    source, config, settings = (*arguments, *[None, {}][len(arguments) - 1 :])[:3]
    with pytest.raises(UserError, match=words):
        paddleseg_ext.load(root / source if source else "", config, **settings)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("absent.png", "absent.png: the image file does not exist"),
        (7, "`image`: int is not allowed; it is a path, an array"),
        (np.zeros((4, 5, 2), np.uint8), "`image`: it has 2 channels, and the network takes 3"),
        (np.zeros((4, 5, 3), np.float32), "`image`: it holds float32, and pictures have 8 or 16 bits"),
        (np.zeros((0, 5, 3), np.uint8), "shape .0, 5, 3. is no image"),
        (np.zeros(5, np.uint8), "shape .5. is no image"),
    ],
)
def test_mistakes_of_predict_are_told(root: Path, image: object, words: str) -> None:
    model = paddleseg_ext.load(root / "run", device="cpu")
    with pytest.raises(UserError, match=words):
        model.predict(image)
    with pytest.raises(UserError, match="`batch`: 0 is not allowed"):
        model.predict([], batch=0)
    with pytest.raises(UserError, match="`opacity`: 2 is not allowed"):
        model.overlay([], opacity=2)


def test_importing_the_package_does_not_import_this() -> None:
    tree = ast.parse(Path(paddleseg_ext.__file__).read_text("utf-8"))  # rooms below cannot, as the linter sees to
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert "paddleseg_ext.builder" in modules and not modules & {"paddleseg_ext.api", "paddleseg_ext.inference"}
    assert paddleseg_ext.load.__module__ == "paddleseg_ext.api" and "Segmentor" in dir(paddleseg_ext)
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        _ = paddleseg_ext.loads
