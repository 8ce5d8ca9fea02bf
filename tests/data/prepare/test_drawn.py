"""COCO's and labelme's shapes become masks; what has no area, name or image is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext.data.datasets import SegmentationFolder, class_names
from paddleseg_ext.data.prepare.coco import prepare_coco
from paddleseg_ext.data.prepare.labelme import prepare_labelme
from paddleseg_ext.data.prepare.polygons import area_of, decode_runs, points_of
from paddleseg_ext.errors import UserError
from tests.data.prepare.trees import contents, photo, pixels

HEIGHT, WIDTH = 8, 10


def square(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    """The polygon whose pixels are left … right, top … bottom, ends included."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def flat(points: list[list[int]]) -> list[int]:
    return [number for point in points for number in point]


def runs(mask: np.ndarray) -> list[int]:
    """A mask's run lengths, counted one pixel at a time."""
    counts, last = [0], 0
    for value in mask.T.ravel().astype(int):
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


def compressed(counts: list[int]) -> str:
    """COCO's string, as its documentation tells it."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            bits, value = value & 0x1F, value >> 5
            more = value != -1 if bits & 0x10 else value != 0
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pack", [list, compressed])
def test_run_lengths(seed: int, pack) -> None:
    mask = np.random.default_rng(seed).random((40, 70)) < (0.02, 0.1, 0.5, 0.9, 0.001)[seed]
    assert np.array_equal(decode_runs(pack(runs(mask)), 40, 70), mask)


@pytest.mark.parametrize("counts", [[1, 2], "~", 3, [-1, 81], ["80"], None])
def test_run_lengths_that_do_not_fill_the_mask(counts: object) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        decode_runs(counts, HEIGHT, WIDTH)


def test_points() -> None:
    assert points_of([1, 2, 3, 4.5]) == points_of([[1, 2], [3, 4.5]]) == [(1, 2), (3, 4.5)]
    assert area_of(points_of(square(0, 0, 4, 3))) == 12
    for wrong in (3, [1, 2, 3], [[1]], [[1, "2"]], [[1, float("nan")]], [[1, 1e9]], [[True, 1]]):
        with pytest.raises(ValueError, match="point"):
            points_of(wrong)


# COCO

CATEGORIES = [{"id": 90, "name": "cat"}, {"id": 7, "name": "dog"}]


def coco(root: Path, annotations: list[dict] | None = None, **changes: object) -> tuple[Path, Path, Path]:
    """Three images; a large dog annotated after the small cat on it, a crowd below both, a mask of runs."""
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[:, :4] = True
    entries = [
        {"id": 1, "image_id": 1, "category_id": 90, "segmentation": [flat(square(2, 2, 3, 3))]},
        {"id": 2, "image_id": 1, "category_id": 7, "segmentation": [flat(square(1, 1, 6, 6))], "iscrowd": 0},
        {"id": 3, "image_id": 1, "category_id": 7, "iscrowd": 1, "segmentation": {"counts": runs(crowd)}},
        {"id": 4, "image_id": 2, "category_id": 90, "segmentation": {"counts": compressed(runs(crowd))}},
    ]
    for number in range(3):
        photo(root / "images" / "sub" / f"{number}.jpg", HEIGHT, WIDTH)
    images = [
        {"id": number + 1, "file_name": f"sub/{number}.jpg", "height": HEIGHT, "width": WIDTH} for number in range(3)
    ]
    content = {"images": images, "annotations": entries if annotations is None else annotations}
    path = root / "instances.json"
    path.write_text(json.dumps({**content, "categories": CATEGORIES, **changes}))
    return path, root / "images", root / "out"


def test_coco_masks(tmp_path: Path) -> None:
    paths = coco(tmp_path)
    before = contents(tmp_path)
    for workers in (0, 2):
        report = prepare_coco(*paths, share=0.5, num_workers=workers)
    assert {k: v for k, v in contents(tmp_path).items() if not k.startswith("out/")} == before
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[:, :4] = 255
    expected[1:7, 1:7] = 1
    expected[2:4, 2:4] = 2
    assert pixels(paths[2] / "labels" / "sub" / "0.png").tolist() == expected.tolist()
    assert np.unique(pixels(paths[2] / "labels" / "sub" / "1.png")).tolist() == [0, 2]
    assert pixels(paths[2] / "labels" / "sub" / "2.png").max() == 0
    dataset = SegmentationFolder([], str(paths[2]))
    assert class_names(dataset) == ["background", "dog", "cat"]
    assert "3 classes" in report.lines[0]


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"category_id": 1}, r"annotation 5: category_id 1 is unknown"),
        ({"image_id": 99}, "annotation 5: image_id 99 is not among the images"),
        ({"segmentation": [[1, 2, 3]]}, "annotation 5: .* is no point"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 5: a polygon has at least 3 points"),
        ({"segmentation": {"counts": [3]}}, "annotation 5: its run lengths make 3 pixels, and the image has 80"),
        ({"segmentation": None}, "annotation 5: its segmentation is neither"),
    ],
)
def test_faults_of_annotations(tmp_path: Path, entry: dict, message: str) -> None:
    whole = {"id": 5, "image_id": 1, "category_id": 7, "segmentation": [flat(square(1, 1, 3, 3))]}
    paths = coco(tmp_path, [{**whole, **entry}])
    with pytest.raises(UserError, match=message):
        prepare_coco(*paths)
    assert not (paths[2] / "train.txt").exists()


@pytest.mark.parametrize("name", ["../x.jpg", "/x.jpg", "..\\x.jpg", None, ""])
def test_images_below_their_folder_alone(tmp_path: Path, name: str | None) -> None:
    paths = coco(tmp_path, [], images=[{"id": 1, "file_name": name, "height": 8, "width": 10}])
    with pytest.raises(UserError, match="image 1: file_name .* is no path below the folder"):
        prepare_coco(*paths)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"images": 3}, "no list 'images'"),
        ({"categories": [{"id": 1}]}, "categories: each has a number 'id' and a 'name'"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "'a' occurs twice"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": 0, "width": 4}]}, "image 1: height 0 and width 4"),
        ({"images": [{"id": i, "file_name": f"{i}.jpg", "height": 8, "width": 4} for i in (1, 2)]}, "does not exist"),
        (
            {"images": [{"id": i, "file_name": f"sub/{i}.jpg", "height": 10, "width": 8} for i in (1, 2)]},
            r"2 files cannot be used: .*1\.png is 8x10, but its image",
        ),
    ],
)
def test_faults_of_the_file(tmp_path: Path, changes: dict, message: str) -> None:
    paths = coco(tmp_path, [], **changes)
    with pytest.raises(UserError, match=message):
        prepare_coco(*paths)


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_no_json(tmp_path: Path, content: str) -> None:
    paths = coco(tmp_path)
    paths[0].write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"instances\.json"):
        prepare_coco(*paths)


# labelme


def drawing(root: Path, name: str, shapes: list[dict], **changes: object) -> None:
    photo(root / "images" / f"{name}.jpg", HEIGHT, WIDTH)
    content = {"imagePath": f"..\\images\\{name}.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": shapes}
    (root / "json").mkdir(exist_ok=True)
    (root / "json" / f"{name}.json").write_text(json.dumps({**content, **changes}))


def shape(label: str, points: list, kind: str | None = "polygon") -> dict:
    return {"label": label, "points": points, "shape_type": kind}


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    drawing(
        tmp_path,
        "a",
        [
            shape("road", square(0, 4, 9, 7)),
            shape("car", [[2, 7], [5, 3]], "rectangle"),
            shape("_background_", square(0, 7, 0, 7)),
            shape("__ignore__", square(9, 0, 9, 7)),
        ],
    )
    drawing(tmp_path, "b", [shape("猫", [[4, 4], [4, 2]], "circle")])
    return tmp_path


def test_labelme_masks(drawings: Path) -> None:
    before = contents(drawings)
    for workers in (2, 0):
        prepare_labelme(drawings / "json", drawings / "out", share=0.5, num_workers=workers)
    assert {k: v for k, v in contents(drawings).items() if not k.startswith("out/")} == before
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[4:, :] = 2
    expected[3:, 2:6] = 1
    expected[7, 0] = 0
    expected[:, 9] = 255
    assert pixels(drawings / "out" / "labels" / "a.png").tolist() == expected.tolist()
    circle = pixels(drawings / "out" / "labels" / "b.png")
    assert circle[4].tolist() == [0, 0, 3, 3, 3, 3, 3, 0, 0, 0] and circle[2, 4] == circle[6, 4] == 3
    assert class_names(SegmentationFolder([], str(drawings / "out"))) == ["background", "car", "road", "猫"]


def test_classes_in_another_order(drawings: Path) -> None:
    prepare_labelme(drawings / "json", drawings / "out", classes=["_background_", "猫", "road", "car", "bus"])
    assert pixels(drawings / "out" / "labels" / "b.png").max() == 1
    assert class_names(SegmentationFolder([], str(drawings / "out")))[1:] == ["猫", "road", "car", "bus"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"shapes": [shape("x", [[1, 1], [2, 2]], "line")]}, r"b\.json: shape 1, 'x': the shape 'line' has no area"),
        ({"shapes": [shape("x", [[1, 1], [2, 2]])]}, r"b\.json: shape 1, 'x': a polygon has at least 3 points"),
        ({"shapes": [{"label": "x"}]}, r"b\.json: it is no drawing of labelme \(missing key 'points'\)"),
        ({"imageWidth": None}, r"b\.json: it is no drawing"),
        ({"imageWidth": 7}, r"b\.png is 7x8, but its image .*b\.jpg is 10x8"),
        ({"imagePath": "no.jpg"}, r"b\.json: its image .*no\.jpg does not exist"),
    ],
)
def test_faults_of_drawings(drawings: Path, change: dict, message: str) -> None:
    drawing(drawings, "b", **{"shapes": [], **change})
    with pytest.raises(UserError, match=message):
        prepare_labelme(drawings / "json", drawings / "out")
    assert not (drawings / "out" / "train.txt").exists()


def test_a_label_that_is_no_class(drawings: Path) -> None:
    with pytest.raises(UserError, match=r"`classes`: the label 'road' is not among them; did you mean 'roads'\?"):
        prepare_labelme(drawings / "json", drawings / "out", classes=["car", "roads", "猫"])


def test_no_drawings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no JSON files"):
        prepare_labelme(tmp_path, tmp_path / "out")
