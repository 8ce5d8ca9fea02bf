"""`paddleseg-ext predict` on an image, a folder, a list and a video."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.cli.main import main
from paddleseg_ext.data.classes import generic_palette
from paddleseg_ext.evaluation.predictor import Predictor, evaluating
from tests.tiny_run import CLASSES, SIZE, write_config, write_samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A trained network and a tree of pictures: in/a.png, in/deep/b.jpg, in/deep/er/b.png, and what is no picture."""
    write_samples(tmp_path, 3)
    config = write_config(tmp_path)
    paddle.save(Builder(load_config(config)).model.state_dict(), str(tmp_path / "model.pdparams"))
    folder = tmp_path / "in" / "deep" / "er"
    folder.mkdir(parents=True)
    for number, name in enumerate(["a.png", "deep/b.jpg", "deep/er/b.png"]):
        picture = cv2.imread(str(tmp_path / f"image{number}.png"))
        cv2.imwrite(str(tmp_path / "in" / name), cv2.resize(picture, (40 + 9 * number, 35)))
    (tmp_path / "in" / "notes.txt").write_text("\ufeffa.png 7\n\ndeep/b.jpg\na.png\n", encoding="utf-8")
    return tmp_path


def predict(root: Path, source: Path | str, *arguments: str, save_dir: Path | None = None) -> int:
    weights = ["--config", str(root / "config.yml"), "--model_path", str(root / "model.pdparams"), "--device", "cpu"]
    target = ["--image_path", str(source), "--save_dir", str(save_dir or root / "out")]
    return main(["predict", *weights, *target, *arguments])


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def ids_by_hand(root: Path, path: Path) -> np.ndarray:
    builder = Builder(load_config(root / "config.yml"))
    builder.model.set_state_dict(paddle.load(str(root / "model.pdparams")))
    dataset = builder.val_dataset
    with evaluating(builder.model):
        image = paddle.to_tensor(dataset.transforms({"img": str(path)})["img"][None])
        return np.asarray(Predictor().predict(builder.model, image, [[]])[0])


def test_a_folder_keeps_its_structure(root: Path) -> None:
    assert predict(root, root / "in") == 0
    expected = {"a.png", "deep/b.png", "deep/er/b.png"}
    kinds = ("ids", "color", "overlay")
    assert files(root / "out") == {"legend.png", *(f"{kind}/{name}" for kind in kinds for name in expected)}
    for name, source in [("a.png", "a.png"), ("deep/b.png", "deep/b.jpg")]:
        ids = np.asarray(Image.open(root / "out" / "ids" / name))
        np.testing.assert_array_equal(ids, ids_by_hand(root, root / "in" / source))
        assert ids.dtype == np.uint8 and len(np.unique(ids)) > 1
        color = Image.open(root / "out" / "color" / name)
        assert color.mode == "P"
        np.testing.assert_array_equal(np.asarray(color), ids)
        image, painted = (
            np.asarray(Image.open(path).convert("RGB")) for path in (root / "in" / source, color.filename)
        )
        overlay = np.asarray(Image.open(root / "out" / "overlay" / name))
        assert overlay.shape == image.shape
        assert np.abs(overlay - (0.6 * image + 0.4 * painted)).max() <= (0.5 if source.endswith("png") else 3)
    legend = np.asarray(Image.open(root / "out" / "legend.png")).reshape(-1, 3)
    assert {*map(tuple, generic_palette(CLASSES).tolist())} <= {*map(tuple, legend.tolist())}


def test_opacity_and_a_legend_under_each_overlay(root: Path) -> None:
    source = root / "in" / "a.png"
    for name, arguments in {"none": ["--opacity", "0"], "full": ["--opacity", "1", "--legend"]}.items():
        assert predict(root, source, *arguments, save_dir=root / name) == 0
    image, painted = np.asarray(Image.open(source)), Image.open(root / "full" / "color" / "a.png").convert("RGB")
    np.testing.assert_array_equal(np.asarray(Image.open(root / "none" / "overlay" / "a.png")), image)
    overlay = np.asarray(Image.open(root / "full" / "overlay" / "a.png"))
    assert overlay.shape[1] == 320 and overlay.shape[0] > len(image)
    np.testing.assert_array_equal(overlay[: image.shape[0], : image.shape[1]], np.asarray(painted))
    below = {*map(tuple, overlay[len(image) :].reshape(-1, 3).tolist())}
    assert {*map(tuple, np.asarray(painted).reshape(-1, 3).tolist())} <= below


def test_one_image_a_list_and_two_of_one_stem(root: Path) -> None:
    assert predict(root, root / "in" / "deep" / "b.jpg") == 0
    assert files(root / "out" / "ids") == {"b.png"}
    assert predict(root, root / "in" / "notes.txt", save_dir=root / "list") == 0
    assert files(root / "list" / "ids") == {"a.png", "deep/b.png"}
    (root / "in" / "a.jpg").write_bytes((root / "in" / "deep" / "b.jpg").read_bytes())
    assert predict(root, root / "in", save_dir=root / "twins") == 0
    assert files(root / "twins" / "ids") == {"a.png.png", "a.jpg.png", "deep/b.png", "deep/er/b.png"}


def test_a_list_may_name_images_elsewhere(root: Path) -> None:
    (root / "lists").mkdir()
    (root / "lists" / "all.txt").write_text(f"{root / 'in' / 'a.png'}\n../in/deep/er/b.png\n", encoding="utf-8")
    assert predict(root, root / "lists" / "all.txt") == 0
    assert len(files(root / "out" / "ids")) == 2


def test_windows_scales_and_own_colors(root: Path) -> None:
    assert predict(root, root / "in" / "a.png") == 0
    flags = ["--aug_pred", "--scales", "0.5", "2", "--flip_horizontal", "--is_slide", "--crop_size", "16", "16"]
    colors = ["--custom_color", "1", "2", "3", "4", "5", "6"]
    assert predict(root, root / "in" / "a.png", *flags, "--stride", "8", "8", *colors, save_dir=root / "aug") == 0
    plain, augmented = (np.asarray(Image.open(root / name / "ids" / "a.png")) for name in ("out", "aug"))
    assert plain.shape == augmented.shape and (plain != augmented).any()
    painted = np.asarray(Image.open(root / "aug" / "color" / "a.png").convert("RGB"))
    assert (painted[augmented == 1] == [4, 5, 6]).all()


def test_a_video_gives_videos_and_ids(root: Path) -> None:
    path = root / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (SIZE, SIZE))
    frames = [cv2.imread(str(root / f"image{number}.png")) for number in range(3)]
    for frame in frames:
        writer.write(frame)
    writer.release()
    assert predict(root, path) == 0
    assert files(root / "out") == {
        *(f"ids/clip/00000{number}.png" for number in (1, 2, 3)),
        "color/clip.mp4",
        "overlay/clip.mp4",
        "legend.png",
    }
    capture = cv2.VideoCapture(str(root / "out" / "overlay" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and capture.get(cv2.CAP_PROP_FPS) == 10
    assert capture.read()[1].shape == (SIZE, SIZE, 3)
    assert predict(root, path, "--opacity", "0", "--legend", save_dir=root / "with") == 0
    capture = cv2.VideoCapture(str(root / "with" / "overlay" / "clip.mp4"))
    shown = capture.read()[1]
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and shown.shape[1] == 320 and shown.shape[0] > SIZE
    assert np.abs(shown[:SIZE, :SIZE].astype(int) - frames[0]).mean() < 25 and shown[:SIZE, 2 * SIZE :].min() > 240
    assert np.asarray(Image.open(root / "out" / "ids" / "clip" / "000002.png")).max() < CLASSES


def test_inputs_are_never_overwritten(root: Path, capsys: pytest.CaptureFixture) -> None:
    (root / "ids").mkdir()
    (root / "ids" / "a.png").write_bytes((root / "in" / "a.png").read_bytes())
    before = (root / "ids" / "a.png").read_bytes()
    assert predict(root, root / "ids", save_dir=root) == 2
    assert "is an input; choose another folder" in capsys.readouterr().err
    assert (root / "ids" / "a.png").read_bytes() == before
    (root / "legend.png").write_bytes(before)
    assert predict(root, root / "legend.png", save_dir=root) == 2
    assert "legend.png is an input" in capsys.readouterr().err and (root / "legend.png").read_bytes() == before


def test_a_submission_is_checked_before_anything_is_predicted(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert predict(root, root / "in", "--submission", "cityscapes") == 2
    assert f"cityscapes has 19 classes, the network {CLASSES}" in capsys.readouterr().err
    assert not (root / "out").exists()


def test_a_submission_is_written_and_packed(root: Path) -> None:
    model = {"type": "TwoOutputs", "num_classes": 19}
    write_config(root, model=model)
    text = (root / "config.yml").read_text(encoding="utf-8")
    (root / "config.yml").write_text(text.replace(f"num_classes: {CLASSES}\n", "num_classes: 19\n"), encoding="utf-8")
    paddle.save(Builder(load_config(root / "config.yml")).model.state_dict(), str(root / "model.pdparams"))
    for city in ("bonn", "ulm"):
        (root / "city" / city).mkdir(parents=True)
        name = f"{city}_000001_000019_leftImg8bit.png"
        (root / "city" / city / name).write_bytes((root / "image0.png").read_bytes())
    assert predict(root, root / "city", "--submission", "cityscapes", "--submission_count", "2") == 0
    with zipfile.ZipFile(root / "out" / "submission_cityscapes.zip") as archive:
        assert sorted(archive.namelist()) == [f"{c}_000001_000019_pred_labelIds.png" for c in ("bonn", "ulm")]


@pytest.mark.parametrize(
    "source, arguments, sentence",
    [
        ("in/broken.png", [], "broken.png: the image file cannot be read as a picture"),
        ("in/absent.png", [], "absent.png: there is no such image, folder or list"),
        ("gaps.txt", [], "gaps.txt: 1 of its 2 images does not exist, the first is"),
        ("latin.txt", [], "latin.txt: line 2 is not UTF-8; save the list with that encoding"),
        ("empty", [], "empty: there are no images in it"),
        ("config.yml", [], "config.yml: neither an image nor a list nor a video"),
        ("absent.mp4", [], "absent.mp4: the file cannot be read as a video"),
        ("broken.mp4", [], "broken.mp4: the file cannot be read as a video"),
        ("in", ["--custom_color", "1", "2"], "--custom_color: 2 values"),
        ("in", ["--flip_vertical"], "--flip_vertical: without --aug_pred"),
        ("in", ["--opacity", "1.5"], "--opacity: 1.5 is not allowed; it is a number, at least 0, at most 1"),
        ("broken.mp4", ["--submission", "ade20k"], "--submission: it takes images"),
    ],
)
def test_mistakes_are_told(
    root: Path, source: str, arguments: list, sentence: str, capsys: pytest.CaptureFixture
) -> None:
    (root / "empty").mkdir()
    (root / "gaps.txt").write_text("in/a.png\nabsent.png\n", encoding="utf-8")
    (root / "latin.txt").write_bytes(b"in/a.png\nin/\xe4.png\n")
    for broken in ("in/broken.png", "broken.mp4"):
        (root / broken).write_bytes(b"nothing")
    if source == "in":
        (root / "in" / "broken.png").unlink()
    assert predict(root, root / source, *arguments) == 2
    err = capsys.readouterr().err
    assert f"error: {root}" in err or "error: --" in err
    assert sentence in err and "Traceback" not in err


def test_a_gray_network_takes_a_video(root: Path) -> None:
    dataset = {"type": "Dataset", "dataset_root": str(root), "num_classes": CLASSES, "img_channels": 1}
    normalize = [{"type": "Normalize", "mean": [0.5], "std": [0.5]}]
    sections = {
        f"{mode}_dataset": {**dataset, "mode": mode, f"{mode}_path": str(root / "train.txt"), "transforms": normalize}
        for mode in ("train", "val")
    }
    config = write_config(root, model={"type": "TwoOutputs", "in_channels": 1, "num_classes": CLASSES}, **sections)
    paddle.save(Builder(load_config(config)).model.state_dict(), str(root / "model.pdparams"))
    writer = cv2.VideoWriter(str(root / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (32, 32))
    frame = cv2.imread(str(root / "image0.png"))
    writer.write(frame)
    writer.release()
    assert predict(root, root / "clip.avi") == 0
    gray = cv2.cvtColor(cv2.VideoCapture(str(root / "clip.avi")).read()[1], cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(root / "gray.png"), gray)
    assert predict(root, root / "gray.png") == 0
    of_image, of_frame = (root / "out" / "ids" / name for name in ("gray.png", "clip/000001.png"))
    assert (np.asarray(Image.open(of_image)) == np.asarray(Image.open(of_frame))).all()


@pytest.mark.parametrize("command", ["predict", "val", "export", "train --do_eval"])
def test_a_configuration_without_val_dataset(root: Path, command: str, capsys: pytest.CaptureFixture) -> None:
    config = yaml.safe_load((root / "config.yml").read_text())
    config.pop("val_dataset")
    (root / "config.yml").write_text(yaml.safe_dump(config))
    more = {
        "predict": ["--image_path", str(root / "in")],
        "train --do_eval": ["--save_dir", str(root / "again")],
    }.get(command, [])
    weights = [] if "train" in command else ["--model_path", str(root / "model.pdparams")]
    arguments = ["--config", str(root / "config.yml"), "--device", "cpu", *weights, *more]
    assert main([*command.split(), *arguments]) == 2
    assert "val_dataset" in capsys.readouterr().err
