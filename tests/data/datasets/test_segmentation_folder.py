"""A user's own data set: lists of every kind, folders, classes, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from paddleseg.cvlibs import manager
from PIL import Image

from paddleseg_ext import Builder, load_config
from paddleseg_ext.cli import main
from paddleseg_ext.data.classes import generic_palette
from paddleseg_ext.data.datasets import SegmentationFolder, class_names, palette
from paddleseg_ext.errors import UserError
from tests.tiny_run import write_config, write_samples


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images in folders, two classes and void."""
    for number, name in enumerate(("a", "街 景", "sub/c")):
        save(tmp_path / "images" / f"{name}.png", np.full((4, 6, 3), 10 * number, np.uint8))
        label = np.arange(24, dtype=np.uint8).reshape(4, 6) % 2
        label[0, 0] = 255
        save(tmp_path / "labels" / f"{name}.png", label)
    (tmp_path / "labels.txt").write_text("sky\nroad\n", encoding="utf-8")
    return tmp_path


def listed(root: Path, content: bytes, **keywords: object) -> list[list[str | None]]:
    (root / "train.txt").write_bytes(content)
    return SegmentationFolder([], str(root), **keywords).file_list


def test_it_is_registered() -> None:
    assert manager.DATASETS["SegmentationFolder"] is SegmentationFolder


def test_folders_are_matched_by_stem_to_any_depth(root: Path) -> None:
    dataset = SegmentationFolder([], str(root))
    assert [Path(image).name for image, _ in dataset.file_list] == ["a.png", "c.png", "街 景.png"]
    assert all(Path(image).name == Path(label).name for image, label in dataset.file_list)
    assert (dataset.num_classes, dataset.ignore_index, dataset.img_channels, dataset.edge) == (2, 255, 3, False)
    sample = dataset[0]
    assert sample["img"].shape == (3, 4, 6) and sample["label"].shape == (4, 6)
    assert SegmentationFolder([], str(root), "val")[0]["label"].shape == (1, 4, 6)


def test_subfolders_of_the_modes(root: Path) -> None:
    for mode, name in (("train", "x"), ("val", "y")):
        save(root / "images" / mode / f"{name}.png", np.zeros((2, 2, 3), np.uint8))
        save(root / "labels" / mode / f"{name}.png", np.zeros((2, 2), np.uint8))
    for mode, name in (("train", "x.png"), ("val", "y.png")):
        dataset = SegmentationFolder([], str(root), mode)
        assert [Path(image).name for image, _ in dataset.file_list] == [name]


@pytest.mark.parametrize(
    "content, keywords",
    [
        (b"images/a.png labels/a.png\n", {}),
        (b"images/a.png   labels/a.png", {}),
        (b"\xef\xbb\xbfimages/a.png\tlabels/a.png\r\n", {}),
        (b"# image, label\r\n\r\nimages/a.png,labels/a.png\r\n", {}),
        (b"images/a.png, labels/a.png\n", {}),
        (b"images/a.png;labels/a.png\n", {"separator": ";"}),
        (b"images/a.png labels/a.png\n", {"separator": " "}),
    ],
)
def test_lists_of_every_kind(root: Path, content: bytes, keywords: dict) -> None:
    expected = [[str(root / "images/a.png"), str(root / "labels/a.png")]]
    assert listed(root, content, **keywords) == expected


@pytest.mark.parametrize("separator, keywords", [("\t", {}), (",", {}), ("|", {"separator": "|"})])
def test_names_with_spaces_and_chinese_ones(root: Path, separator: str, keywords: dict) -> None:
    line = f"images/街 景.png{separator}labels/街 景.png\n"
    files = listed(root, line.encode(), **keywords)
    assert files == [[str(root / "images/街 景.png"), str(root / "labels/街 景.png")]]
    assert SegmentationFolder([], str(root), **keywords)[0]["img"].shape == (3, 4, 6)


def test_another_list(root: Path) -> None:
    (root / "some.csv").write_text("images/a.png,labels/a.png\n")
    assert len(SegmentationFolder([], str(root), train_list="some.csv")) == 1


def test_labels_may_be_missing_in_a_test_list(root: Path) -> None:
    (root / "test.txt").write_text("images/a.png\nimages/a.png labels/a.png\n")
    dataset = SegmentationFolder([], str(root), "test")
    assert dataset[0].get("label") is None and dataset[1]["label"].shape == (1, 4, 6)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", r"train\.txt: the list is empty"),
        (b"\n# nothing\n", r"train\.txt: the list is empty"),
        (b"images/a.png labels/a.png\n\nimages/a.png\n", r"train\.txt: line 3 must be .* not 'images/a\.png'"),
        (b"a b c d\n", r"line 1 must be .*names with spaces"),
        (b"images/a.png labels/a.png\n\xff\xfe\n", r"train\.txt: line 2 is not UTF-8"),
        (b"images/no.png\tlabels/a.png\r\n", r"1 listed file is not there: .*no\.png \(line 1\)$"),
        (
            b"".join(b"%d.png labels/a.png\n" % number for number in range(7)),
            r"7 listed files are not there: .*0\.png \(line 1\).*4\.png \(line 5\), …",
        ),
    ],
)
def test_malformed_lists_are_told(root: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        listed(root, content)


def test_the_validation_list_is_not_replaced_by_the_whole_folder(root: Path) -> None:
    (root / "train.txt").write_text("images/a.png labels/a.png\n")
    with pytest.raises(UserError, match=r"no list .*val\.txt for mode val"):
        SegmentationFolder([], str(root), "val")


def test_images_without_a_label_are_named(root: Path) -> None:
    (root / "labels" / "a.png").unlink()
    with pytest.raises(UserError, match=r"1 image is without a label in .*: .*a\.png"):
        SegmentationFolder([], str(root))


def test_files_that_differ_in_the_ending_alone(root: Path) -> None:
    save(root / "images" / "a.jpg", np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png differ in their ending alone"):
        SegmentationFolder([], str(root))


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"mode": "eval"}, "mode: 'eval' is not allowed; allowed are train, val, test"),
        ({"transforms": None}, "transforms: None is not allowed"),
        ({"separator": ""}, "separator: it is empty"),
        ({"img_channels": 0}, "img_channels: 0 is not allowed"),
        ({"ignore_index": "255"}, "ignore_index: '255' is not allowed"),
        ({"classes": 0}, "classes: 0 is not allowed"),
        ({"classes": ["a", "a"]}, "'a' occurs twice"),
        ({"classes": "no.txt"}, r"no\.txt: the file of classes does not exist"),
        ({"classes": {}}, "classes: {} is not allowed"),
        ({"palette": [[0, 0, 0]]}, "palette: it has 1 colors, and there are 2 classes"),
        ({"palette": [[0, 0, 256], [0, 0, 0]]}, "palette: .* is not allowed"),
        ({"images": "pictures"}, r"neither a list .*train\.txt nor a folder .*pictures"),
    ],
)
def test_arguments_are_checked(root: Path, keywords: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SegmentationFolder(**{"transforms": [], "dataset_root": str(root), **keywords})


@pytest.mark.parametrize(
    "content, message",
    [
        (b"1 2 3 sky\nroad\n", r"labels\.txt: line 2, 'road', is not `red green blue name`"),
        (b"sky\n1 2 3 road\n", r"labels\.txt: line 2.* is not `name`"),
        (b"1 2 3 sky\n1 2 256 road\n", r"line 2.*0…255"),
        (b"sky\n\nsky\n", r"line 3, 'sky': the class 'sky' occurs twice"),
        (b"", "names no class"),
        (b"\xff\n", r"labels\.txt: line 1 is not UTF-8"),
    ],
)
def test_a_malformed_file_of_classes_is_told(root: Path, content: bytes, message: str) -> None:
    (root / "labels.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        SegmentationFolder([], str(root))


def test_names_and_colors_of_the_classes(root: Path) -> None:
    assert class_names(SegmentationFolder([], str(root))) == ["sky", "road"]
    assert palette(SegmentationFolder([], str(root))).tolist() == generic_palette(2).tolist()
    (root / "labels.txt").write_bytes("\ufeff1 2 3 天空\r\n4 5 6 main road\r\n".encode())
    dataset = SegmentationFolder([], str(root))
    assert class_names(dataset) == ["天空", "main road"] and palette(dataset).tolist() == [[1, 2, 3], [4, 5, 6]]
    other = SegmentationFolder([], str(root), classes=3, palette=[[1, 1, 1], [2, 2, 2], [3, 3, 3]])
    assert class_names(other) == ["class 0", "class 1", "class 2"] and palette(other)[2].tolist() == [3, 3, 3]


@pytest.mark.parametrize("dtype, ignore_index", [(np.uint8, 255), (np.uint16, 255), (np.uint8, -1)])
def test_zero_is_reduced_before_any_transform(root: Path, dtype: type, ignore_index: int) -> None:
    save(root / "labels" / "a.png", np.array([[0, 1, 2, 2]] * 4, dtype))
    save(root / "images" / "a.png", np.zeros((4, 4, 3), np.uint8))
    seen = []

    def look(data: dict) -> dict:
        seen.append(data["label"].copy())
        return data

    SegmentationFolder([look], str(root), reduce_zero_label=True, ignore_index=ignore_index)[0]
    assert seen[0].tolist() == [[ignore_index, 0, 1, 1]] * 4
    assert seen[0].dtype == (np.uint8 if dtype == np.uint8 and ignore_index == 255 else np.int32)


def test_void_stays_void_when_zero_is_reduced(root: Path) -> None:
    assert SegmentationFolder([], str(root), reduce_zero_label=True)[0]["label"][0].tolist() == [255, 0, 255, 0, 255, 0]


@pytest.mark.parametrize("mode", ["train", "val"])
def test_a_label_of_another_size_is_named(root: Path, mode: str) -> None:
    save(root / "labels" / "a.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(UserError, match=r"labels/a\.png is 4x6, but its image .*images/a\.png is 6x4"):
        SegmentationFolder([], str(root), mode)[0]


def test_gray_images(root: Path) -> None:
    assert SegmentationFolder([], str(root), img_channels=1)[0]["img"].shape == (1, 4, 6)


def test_edges(root: Path) -> None:
    assert SegmentationFolder([], str(root), edge=True)[0]["edge"].shape[-2:] == (4, 6)


# In a configuration


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The colored squares, whose classes stand in labels.txt alone."""
    root = write_samples(tmp_path)
    (root / "val.txt").write_text((root / "train.txt").read_text())
    (root / "labels.txt").write_text("10 20 30 ground\n200 60 60 red square\n60 60 200 蓝\n", encoding="utf-8")
    configure(root)
    return root


def configure(root: Path, model: dict | None = None, **dataset: object) -> Path:
    base = yaml.safe_load(write_config(root).read_text())
    sections = {}
    for mode in ("train", "val"):
        transforms = base[f"{mode}_dataset"]["transforms"]
        section = {"type": "SegmentationFolder", "dataset_root": str(root), "mode": mode, "transforms": transforms}
        sections[f"{mode}_dataset"] = {**section, **dataset}
    return write_config(root, **sections, model={"type": "TwoOutputs", **(model or {})})


def test_the_number_of_classes_is_written_once(run: Path) -> None:
    config = load_config(run / "config.yml")
    assert config.dic["model"]["num_classes"] == 3 and config.dic["model"]["in_channels"] == 3
    assert config.dic["loss"]["types"][0]["ignore_index"] == 255
    builder = Builder(config)
    assert builder.model.mask.weight.shape[0] == 3
    assert builder.loss and len(builder.train_dataset) == 6
    assert class_names(builder.val_dataset_class) == ["ground", "red square", "蓝"]


def test_ignore_index_and_channels_follow_the_section(run: Path) -> None:
    config = load_config(configure(run, ignore_index=99, img_channels=1))
    assert config.dic["loss"]["types"][0]["ignore_index"] == 99 and config.dic["model"]["in_channels"] == 1


def test_a_kept_configuration_knows_the_classes_without_the_data(run: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.yml"
    kept.write_text(str(load_config(run / "config.yml")), encoding="utf-8")
    (run / "labels.txt").unlink()
    builder = Builder(load_config(kept))
    assert builder.model.mask.weight.shape[0] == 3
    assert class_names(builder.val_dataset_class)[1] == "red square"
    assert palette(builder.val_dataset_class)[0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    "model, dataset, message",
    [
        ({"num_classes": 4}, {}, r"config\.yml: model\.num_classes: 4, but train_dataset has 3 classes"),
        ({"in_channels": 1}, {}, "in_channels: 1, but img_channels of train_dataset is 3"),
        ({}, {"classes": "no.txt"}, r"config\.yml: train_dataset: .*no\.txt: the file of classes does not exist"),
        ({}, {"dataset_root": None}, "train_dataset.dataset_root: None is not allowed; it is a word"),
    ],
)
def test_contradictions_are_told(run: Path, model: dict, dataset: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(configure(run, model, **dataset))


def test_classes_of_training_and_validation_agree(run: Path) -> None:
    path = configure(run)
    with pytest.raises(UserError, match="val_dataset: its classes are not those of train_dataset"):
        load_config(path, opts=["val_dataset.classes=3"])


def test_it_trains_and_the_table_has_the_names(run: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ["--config", str(run / "config.yml"), "--save_dir", str(run / "output"), "--iters", "2", "--do_eval"]
    assert main.main(["train", *flags, "--save_interval", "2", "--device", "cpu"]) == 0
    weights = run / "output" / "best_model" / "model.pdparams"
    capsys.readouterr()
    config = run / "output" / "best_model" / "config.yml"
    flags = ["--config", str(config if config.is_file() else run / "config.yml"), "--model_path", str(weights)]
    assert main.main(["val", *flags, "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "ground" in out and "red square" in out and "蓝" in out
