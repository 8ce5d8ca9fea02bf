"""The confusion matrix and all that follows from it, against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
import sklearn.metrics as reference

from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.metrics import ConfusionMatrix

CLASSES = 6


def _random(seed: int, truth: tuple[int, ...], pred: tuple[int, ...], ignored: float = 0.1, ignore_index: int = 255):
    rng = np.random.default_rng(seed)
    label = rng.choice(truth, (37, 53)).astype(np.uint8 if 0 <= ignore_index < 256 else np.int64)
    label[rng.random(label.shape) < ignored] = ignore_index
    return rng.choice(pred, label.shape).astype(np.uint8), label


CASES = {
    "all classes": _random(0, (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5)),
    "class 2 is nowhere": _random(1, (0, 1, 3, 4, 5), (0, 1, 3, 4, 5)),
    "class 1 never predicted, 4 never true": _random(2, (0, 1, 2, 3, 5), (0, 2, 3, 4, 5)),
    "nothing right": _random(3, (0, 1, 2), (3, 4, 5)),
    "one class": _random(4, (3,), (3,)),
    "nothing ignored": _random(5, (0, 1, 2, 3, 4, 5), (0, 1), ignored=0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_scikit_learn(case: str) -> None:
    pred, label = CASES[case]
    matrix = ConfusionMatrix(CLASSES)
    matrix.update(pred, label)
    truth, guess = label[label != 255], pred[label != 255]
    ids = list(range(CLASSES))
    np.testing.assert_array_equal(matrix.counts, reference.confusion_matrix(truth, guess, labels=ids))

    scores = matrix.metrics()
    by_class = {"labels": ids, "average": None, "zero_division": np.nan}
    precision, recall, f1, _ = reference.precision_recall_fscore_support(truth, guess, **by_class)
    iou = reference.jaccard_score(truth, guess, labels=ids, average=None, zero_division=0)
    occurs = np.isin(ids, truth) | np.isin(ids, guess)
    np.testing.assert_array_equal(np.isnan(scores.iou), ~occurs)
    np.testing.assert_allclose(scores.iou[occurs], iou[occurs], rtol=0, atol=1e-9)
    np.testing.assert_allclose(scores.precision, precision, rtol=0, atol=1e-9)
    np.testing.assert_allclose(scores.recall, recall, rtol=0, atol=1e-9)
    np.testing.assert_allclose(scores.f1[occurs], f1[occurs], rtol=0, atol=1e-9)
    assert scores.miou == pytest.approx(iou[occurs].mean(), abs=1e-9)
    assert scores.dice == pytest.approx(f1[occurs].mean(), abs=1e-9)
    assert scores.accuracy == pytest.approx(reference.accuracy_score(truth, guess), abs=1e-9)
    assert scores.mean_accuracy == pytest.approx(recall[np.isin(ids, truth)].mean(), abs=1e-9)
    weighted = reference.jaccard_score(truth, guess, labels=ids, average="weighted", zero_division=0)
    assert scores.fw_iou == pytest.approx(weighted, abs=1e-9)
    if case != "one class":  # chance agrees always, so kappa is 0/0
        assert scores.kappa == pytest.approx(reference.cohen_kappa_score(truth, guess), abs=1e-9)
    else:
        assert np.isnan(scores.kappa)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize("ignore_index", [255, 2, -1, 1001])
def test_a_tensor_gives_the_counts_of_an_array_for_any_ignore_index(dtype: str, ignore_index: int) -> None:
    pred, label = _random(6, (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5), ignore_index=ignore_index)
    if 0 <= ignore_index < 256:
        label = label.astype(dtype)
    expected = np.zeros((CLASSES, CLASSES), np.int64)
    for true, guess in zip(label.ravel(), pred.ravel()):
        if true != ignore_index:
            expected[true, guess] += 1
    on_host, on_device = ConfusionMatrix(CLASSES, ignore_index), ConfusionMatrix(CLASSES, ignore_index)
    np.testing.assert_array_equal(on_host.update(pred, label), expected)
    np.testing.assert_array_equal(on_device.update(paddle.to_tensor(pred.astype("int32")), label), expected)


def test_streams_and_merges() -> None:
    (pred_a, label_a), (pred_b, label_b) = CASES["all classes"], CASES["nothing right"]
    both, first, second = (ConfusionMatrix(CLASSES) for _ in range(3))
    both.update(np.stack([pred_a, pred_b]), np.stack([label_a, label_b])[:, None])
    first.update(pred_a, label_a)
    second.update(pred_b, label_b)
    first.merge(second)
    np.testing.assert_array_equal(first.counts, both.counts)
    with pytest.raises(ValueError, match="4 classes"):
        first.merge(ConfusionMatrix(4))


@pytest.mark.parametrize("classes, ignore_index", [(1, 255), (2, 0), (254, 255), (255, 255), (256, 300)])
def test_bytes_and_wide_integers_give_the_same_counts(classes: int, ignore_index: int) -> None:
    rng = np.random.default_rng(0)
    pred, label = rng.integers(0, classes, (2, 40, 50)).astype(np.uint8)
    label[:5] = ignore_index if ignore_index < 256 else 0
    narrow, wide = ConfusionMatrix(classes, ignore_index), ConfusionMatrix(classes, ignore_index)
    narrow.update(pred, label)
    wide.update(pred.astype(np.int64), label.astype(np.int32))
    np.testing.assert_array_equal(narrow.counts, wide.counts)
    assert narrow.counts.sum() == (2000 if ignore_index == 300 else (label != ignore_index).sum())


def test_images_of_any_size_are_counted_exactly() -> None:
    pixels = 2**24 + 77  # beyond what float32 can count one by one
    matrix = ConfusionMatrix(2)
    matrix.update(np.ones(pixels, np.uint8), np.ones(pixels, np.uint8))
    assert matrix.counts[1, 1] == pixels


def test_more_classes_than_eight_bits() -> None:
    matrix = ConfusionMatrix(300, ignore_index=65535)
    matrix.update(np.array([299, 0, 7], np.uint16), np.array([299, 65535, 256], np.uint16))
    assert matrix.counts[299, 299] == 1 and matrix.counts[256, 7] == 1 and matrix.counts.sum() == 2


def test_all_ignored_gives_no_number() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8))
    scores = matrix.metrics()
    assert np.isnan([scores.miou, scores.accuracy, scores.fw_iou, scores.kappa, scores.dice]).all()
    assert json.loads(json.dumps(scores.to_dict()))["miou"] is None


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_wrong_label_is_named_with_its_file(dtype: str, as_tensor: bool) -> None:
    label = np.array([[0, 1, 255], [77, 3, 2]], dtype)
    pred = np.zeros_like(label, "int32")
    matrix = ConfusionMatrix(3)
    with pytest.raises(UserError, match=r"street_7\.png: label values 3, 77 .* 0…2 and 255"):
        matrix.update(paddle.to_tensor(pred) if as_tensor else pred, label, "street_7.png")
    assert not matrix.counts.any()


def test_a_wrong_prediction_or_size_is_refused() -> None:
    matrix = ConfusionMatrix(3)
    label = np.zeros(4, np.uint8)
    for wrong in (3, -1):
        for pred in (np.full(4, wrong), paddle.full([4], wrong, "int64")):
            with pytest.raises(UserError, match=f"class id {wrong}.*num_classes"):
                matrix.update(pred, label)
    with pytest.raises(ValueError, match="5 pixels"):
        matrix.update(np.zeros(5, np.uint8), label)


def test_table_and_dict_name_the_classes_and_mark_the_absent_one() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 255]))
    table = matrix.metrics().table(["road", "car", "sky"], boundary=np.array([0.125, 0.5, np.nan]))
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line[0] != "-"}
    assert rows["class"] == ["IoU", "precision", "recall", "F1", "boundary"]
    assert rows["road"] == ["50.00", "50.00", "100.00", "66.67", "12.50"]
    assert rows["sky"] == ["–"] * 5
    assert rows["mIoU"] == ["50.00"]
    result = json.loads(json.dumps(matrix.metrics().to_dict(["road", "car", "sky"])))
    assert result["classes"]["car"] == {"iou": 0.5, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert result["classes"]["sky"]["iou"] is None
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        matrix.metrics().table(["road", "car"])
