"""Submissions, judged by the evaluation code that the benchmark itself publishes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.metrics import ConfusionMatrix
from paddleseg_ext.evaluation.submission import BENCHMARKS, CITYSCAPES_LABEL_IDS, Submission

CITYSCAPES, ADE20K = BENCHMARKS["cityscapes"], BENCHMARKS["ade20k"]
TRAIN_IDS = range(19)

# (truth, prediction) of three images: train ids that may occur; 255 is what the benchmark does not evaluate.
CASES = {
    "random": [([*TRAIN_IDS, 255], TRAIN_IDS)] * 3,
    "absent classes": [([0, 3, 255], [0, 2]), ([0, 1], [0, 18]), ([0], [3])],
    "all ignored in one": [([255], TRAIN_IDS), (TRAIN_IDS, TRAIN_IDS), ([255, 7], [7])],
    "one class": [([13], [13]), ([13, 255], [13]), ([13], [13])],
    "nothing right": [([0, 1], [2, 3]), ([4], [5]), ([6, 255], [0])],
}


def _name(number: int) -> Path:
    return Path("munster") / f"munster_{number:06d}_000019_leftImg8bit.png"


@pytest.mark.parametrize("case", CASES)
def test_class_iou_equals_the_official_evaluation(case: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    labels = pytest.importorskip("cityscapesscripts.helpers.labels")
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    assert tuple(labels.trainId2label[i].id for i in TRAIN_IDS) == CITYSCAPES_LABEL_IDS
    rng = np.random.default_rng(0)
    images = [_name(number) for number in range(3)]
    submission = Submission(CITYSCAPES, images, 19, tmp_path / "results", count=3)
    matrix = ConfusionMatrix(19)
    predictions, truths = [], []
    # every label id that the benchmark ignores stands for 255: unlabeled, ego vehicle, trailer, …
    ignored = [label.id for label in labels.labels if label.ignoreInEval and label.id >= 0]
    for image, (truth, pred) in zip(images, CASES[case]):
        truth, pred = (rng.choice(list(ids), (64, 128)).astype(np.uint8) for ids in (truth, pred))
        matrix.update(pred, truth)
        predictions.append(str(submission.write(image, pred)))
        label_ids = np.array([*CITYSCAPES_LABEL_IDS, *[0] * 236, 0])[truth]
        label_ids[truth == 255] = rng.choice(ignored, (truth == 255).sum())
        truths.append(str(tmp_path / f"{image.stem}_gtFine_labelIds.png"))
        Image.fromarray(label_ids.astype(np.uint8)).save(truths[-1])
    official.args.evalInstLevelScore = False
    official.args.evalPixelAccuracy = False
    official.args.JSONOutput = False
    official.args.quiet = True
    result = official.evaluateImgLists(predictions, truths, official.args)
    ours = matrix.metrics()
    for i in TRAIN_IDS:
        theirs = result["classScores"][labels.trainId2label[i].name]
        assert ours.iou[i] == pytest.approx(theirs, abs=1e-9, nan_ok=True)
    assert ours.miou == pytest.approx(result["averageScoreClasses"], abs=1e-9)


def test_the_official_script_finds_our_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    images = [_name(1), _name(2)]
    submission = Submission(CITYSCAPES, images, 19, tmp_path / "results", count=2)
    written = [submission.write(image, np.zeros((4, 4), np.uint8)) for image in images]
    monkeypatch.setattr(official.args, "predictionPath", str(tmp_path / "results"))
    monkeypatch.setattr(official.args, "predictionWalk", None)
    found = [official.getPrediction(official.args, f"{image.stem[:-12]}_gtFine_labelIds.png") for image in images]
    assert found == list(map(str, written))


def test_ade20k_writes_one_to_150_and_packs(tmp_path: Path) -> None:
    images = [Path(f"ADE_test_0000000{i}.jpg") for i in (1, 2)]
    submission = Submission(ADE20K, images, 150, tmp_path / "pngs", count=2)
    for image in images:
        submission.write(image, np.array([[0, 149]], np.uint8))
    with zipfile.ZipFile(submission.pack(tmp_path / "ade.zip")) as archive:
        assert archive.namelist() == ["ADE_test_00000001.png", "ADE_test_00000002.png"]
        with archive.open("ADE_test_00000002.png") as file:
            assert np.asarray(Image.open(file)).tolist() == [[1, 150]]


def test_official_numbers_of_images_are_accepted(tmp_path: Path) -> None:
    for count in (1525, 500):
        assert len(Submission(CITYSCAPES, [_name(i) for i in range(count)], 19, tmp_path).names) == count


@pytest.mark.parametrize(
    "images, classes, count, message",
    [
        ([_name(i) for i in range(1524)], 19, None, "expects 1525 or 500 images, but there are 1524"),
        ([_name(1)], 21, 1, "cityscapes has 19 classes, the network 21"),
        ([Path("holiday.jpg")], 19, 1, "holiday.jpg: not a name of cityscapes"),
        ([Path("a") / _name(1).name, Path("b") / _name(1).name], 19, 2, "several images would become munster_000001"),
    ],
)
def test_what_the_server_would_refuse_is_refused(tmp_path: Path, images, classes, count, message) -> None:
    with pytest.raises(UserError, match=message):
        Submission(CITYSCAPES, images, classes, tmp_path, count)


def test_a_missing_prediction_is_not_packed(tmp_path: Path) -> None:
    submission = Submission(CITYSCAPES, [_name(1), _name(2)], 19, tmp_path / "x", count=2)
    submission.write(_name(2), np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match="1 predictions are missing, the first is munster_000001"):
        submission.pack(tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()
