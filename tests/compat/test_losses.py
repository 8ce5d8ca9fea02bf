"""Every loss of PaddleSeg runs on the installed Paddle and gives the number that its formula gives in NumPy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddleseg.cvlibs import manager
from paddleseg.models import losses as L

from tests.compat import loss_formulas as f
from tests.compat.loss_formulas import IGNORE

CLASSES = 5
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1, 1.5])


def _batch(classes: int = CLASSES, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Logits (2, classes, size, size + 2) and labels (2, size, size + 2) in 2×2 blocks, some of them ignored."""
    rng = np.random.RandomState(0)
    logit = 2 * rng.randn(2, classes, size, size + 2)
    label = np.kron(rng.randint(0, max(classes, 2), (2, size // 2, size // 2 + 1)), np.ones((2, 2), "int64"))
    label[:, :2, :3] = IGNORE
    return logit.astype("float32"), label.astype("int64")


def _tensor(x: np.ndarray) -> paddle.Tensor:
    return paddle.to_tensor(x.astype("float32" if x.dtype.kind == "f" else x.dtype))


LOGIT, LABEL = _batch()
OTHER = LOGIT[:, ::-1].copy()
BINARY, BINARY_LABEL = _batch(classes=2)
EDGE = np.random.RandomState(1).rand(2, 1, 12, 14)
EDGE_LABEL = np.where(EDGE[:, 0] > 0.3, LABEL, IGNORE)
SE_LOGIT = LOGIT[:, :, 0, 0]
LARGE, LARGE_LABEL = _batch(size=24)
REAL = np.where(LABEL == IGNORE, IGNORE, LABEL + 0.5)  # a regression target, of LOGIT's first channel
REAL_ERROR = (LOGIT[:, 0] - REAL)[LABEL != IGNORE]
KL = f.softmax(OTHER) * (np.log(f.softmax(OTHER)) - np.log(f.softmax(LOGIT)))
SOFT_CE = -(f.softmax(OTHER) * np.log(f.softmax(LOGIT))).sum(1)[LABEL != IGNORE]
POINT_ROWS, POINT_COLS = np.array([3, 5, 11, 7]), np.array([4, 0, 13, 9])
POINTS = np.tile(np.stack([(POINT_COLS + 0.5) / 14, (POINT_ROWS + 0.5) / 12], -1), (2, 1, 1))  # (2, 4, xy)
POINT_LOGIT, POINT_LABEL = LOGIT[:, :, POINT_ROWS, POINT_COLS], LABEL[:, POINT_ROWS, POINT_COLS]
MULTI_FOCAL = L.focal_loss.MultiClassFocalLoss
MULTI_FOCAL_ARGS = {"num_class": CLASSES} if "num_class" in MULTI_FOCAL.__init__.__code__.co_varnames else {}
MULTI_FOCAL_PIXELS = f.pixel_ce(LOGIT, LABEL)[LABEL != IGNORE]

# name -> (loss, its inputs, the value expected)
CASES = {
    "CrossEntropyLoss": (L.CrossEntropyLoss(), (LOGIT, LABEL), f.ce(LOGIT, LABEL)),
    "CrossEntropyLoss-weight": (L.CrossEntropyLoss(weight=WEIGHT), (LOGIT, LABEL), f.ce(LOGIT, LABEL, WEIGHT)),
    "CrossEntropyLoss-all": (L.CrossEntropyLoss(avg_non_ignore=False), (LOGIT, LABEL), f.pixel_ce(LOGIT, LABEL).mean()),
    "CrossEntropyLoss-weight-all": (
        L.CrossEntropyLoss(weight=WEIGHT, avg_non_ignore=False),
        (LOGIT, LABEL),
        (f.pixel_ce(LOGIT, LABEL) * (f.onehot(LABEL) * WEIGHT[:, None, None]).sum(1)).mean(),
    ),
    "CrossEntropyLoss-top": (L.CrossEntropyLoss(top_k_percent_pixels=0.3), (LOGIT, LABEL), f.ce(LOGIT, LABEL, top=0.3)),
    "CrossEntropyLoss-weight-top": (
        L.CrossEntropyLoss(weight=WEIGHT, top_k_percent_pixels=0.3),
        (LOGIT, LABEL),
        f.ce(LOGIT, LABEL, WEIGHT, 0.3),
    ),
    "DistillCrossEntropyLoss": (L.DistillCrossEntropyLoss(), (LOGIT, OTHER, LABEL), SOFT_CE.mean()),
    "OhemCrossEntropyLoss-all": (L.OhemCrossEntropyLoss(), (LOGIT, LABEL), f.ce(LOGIT, LABEL)),
    "OhemCrossEntropyLoss": (L.OhemCrossEntropyLoss(0.1, 40), (LOGIT, LABEL), f.ohem(LOGIT, LABEL, 0.1, 40)),
    "OhemCrossEntropyLoss-kept": (L.OhemCrossEntropyLoss(1e-9, 200), (LOGIT, LABEL), f.ohem(LOGIT, LABEL, 1e-9, 200)),
    "EdgeAttentionLoss": (L.EdgeAttentionLoss(0.3), ([LOGIT, EDGE], LABEL), f.ce(LOGIT, EDGE_LABEL)),
    "OhemEdgeAttentionLoss": (
        L.OhemEdgeAttentionLoss(0.3, 0.1, 40),
        ([LOGIT, EDGE], LABEL),
        f.ohem(LOGIT, EDGE_LABEL, 0.1, 40),
    ),
    "BootstrappedCrossEntropyLoss": (
        L.BootstrappedCrossEntropyLoss(20, 0.3),
        (LOGIT, LABEL),
        f.bootstrapped(LOGIT, LABEL, 0.3, 20),
    ),
    "BootstrappedCrossEntropyLoss-few": (
        L.BootstrappedCrossEntropyLoss(20, 9.0),
        (LOGIT, LABEL),
        f.bootstrapped(LOGIT, LABEL, 9.0, 20),
    ),
    "PointCrossEntropyLoss": (
        L.PointCrossEntropyLoss(),
        ([POINT_LOGIT, POINTS], LABEL),
        f.ce(POINT_LOGIT[:, :, None], POINT_LABEL[:, None]),
    ),
    "PointCrossEntropyLoss-weight": (
        L.PointCrossEntropyLoss(weight=WEIGHT),
        ([POINT_LOGIT, POINTS], LABEL),
        f.ce(POINT_LOGIT[:, :, None], POINT_LABEL[:, None], WEIGHT),
    ),
    "BCELoss": (L.BCELoss(), (LOGIT, LABEL), f.bce(LOGIT, LABEL)),
    "BCELoss-pos": (L.BCELoss(pos_weight=2.0), (LOGIT, LABEL), f.bce(LOGIT, LABEL, pos_weight=2.0)),
    "BCELoss-dynamic": (L.BCELoss(weight="dynamic"), (LOGIT, LABEL), f.bce(LOGIT, LABEL, balanced=True)),
    "DiceLoss": (L.DiceLoss(), (LOGIT, LABEL), f.dice(LOGIT, LABEL)),
    "LovaszSoftmaxLoss": (L.LovaszSoftmaxLoss(), (LOGIT, LABEL), f.lovasz_softmax(LOGIT, LABEL)),
    "LovaszHingeLoss": (L.LovaszHingeLoss(), (BINARY[:, :1], BINARY_LABEL), f.lovasz_hinge(BINARY, BINARY_LABEL)),
    "FocalLoss": (L.FocalLoss(), (BINARY, BINARY_LABEL), f.focal(BINARY, BINARY_LABEL)),
    "MultiClassFocalLoss": (
        MULTI_FOCAL(**MULTI_FOCAL_ARGS),
        (LOGIT, LABEL),
        ((1 - np.exp(-MULTI_FOCAL_PIXELS)) ** 2 * MULTI_FOCAL_PIXELS).mean(),
    ),
    "RelaxBoundaryLoss": (L.RelaxBoundaryLoss(), (LOGIT[:1], LABEL[:1]), f.relax_boundary(LOGIT[:1], LABEL[:1])),
    "RelaxBoundaryLoss-border": (
        L.RelaxBoundaryLoss(border=2),
        (LOGIT[:1], LABEL[:1]),
        f.relax_boundary(LOGIT[:1], LABEL[:1], border=2),
    ),
    "RelaxBoundaryLoss-weights": (
        L.RelaxBoundaryLoss(calculate_weights=True, upper_bound=2.0),
        (LOGIT[:1], LABEL[:1]),
        f.relax_boundary(LOGIT[:1], LABEL[:1], upper_bound=2.0),
    ),
    "SECrossEntropyLoss": (L.SECrossEntropyLoss(), (SE_LOGIT, LABEL), f.se(SE_LOGIT, LABEL)),
    "SECrossEntropyLoss-4d": (L.SECrossEntropyLoss(), (SE_LOGIT[:, :, None, None], LABEL), f.se(SE_LOGIT, LABEL)),
    "RMILoss": (L.RMILoss(num_classes=CLASSES), (LARGE, LARGE_LABEL), f.rmi(LARGE, LARGE_LABEL)),
    "KLLoss": (L.KLLoss(), (LOGIT, OTHER), KL.mean()),
    "KLLoss-labels": (L.KLLoss(), (LOGIT, OTHER, LABEL), KL.transpose(0, 2, 3, 1)[LABEL != IGNORE].mean()),
    "L1Loss": (L.L1Loss(), (LOGIT[:, 0], REAL), abs(REAL_ERROR).mean()),
    "MSELoss": (L.MSELoss(), (LOGIT[:, 0], OTHER[:, 0]), ((LOGIT - OTHER)[:, 0] ** 2).mean()),
}


@pytest.mark.parametrize("name", CASES)
def test_value(name: str) -> None:
    loss, inputs, expected = CASES[name]
    tensors = [[_tensor(x) for x in item] if isinstance(item, list) else _tensor(item) for item in inputs]
    logit = tensors[0][0] if isinstance(tensors[0], list) else tensors[0]
    logit.stop_gradient = False
    value = loss(*tensors)
    np.testing.assert_allclose(value.numpy().reshape([]), expected, rtol=2e-5)
    value.backward()
    assert np.isfinite(logit.grad.numpy()).all() and logit.grad.abs().max() > 0


def test_dice_leaves_the_labels_to_the_next_loss() -> None:
    label = _tensor(LABEL)
    dice, ce = L.MixedLoss([L.DiceLoss(), L.CrossEntropyLoss()], [0.5, 2.0])(_tensor(LOGIT), label)
    np.testing.assert_array_equal(label.numpy(), LABEL)
    np.testing.assert_allclose(
        [float(dice), float(ce)], [0.5 * f.dice(LOGIT, LABEL), 2 * f.ce(LOGIT, LABEL)], rtol=2e-5
    )


def test_detail_aggregate_of_a_plain_picture() -> None:
    """Labels of one class have no boundary but at the picture's rim, where the Laplacian meets the padding."""
    loss = L.DetailAggregateLoss()
    loss.fuse_kernel.set_value(np.full((1, 3, 1, 1), 0.5, "float32"))
    zeros = np.zeros((2, 12, 14), "int64")
    logit = LOGIT[:, :1]
    dice = 1 - 1 / (f.sigmoid(logit).sum((1, 2, 3)) + 1)
    np.testing.assert_allclose(
        float(loss(_tensor(logit), _tensor(zeros))), f.softplus(logit).mean() + dice.mean(), rtol=2e-5
    )


def test_dual_task_compares_the_edges() -> None:
    """Logits that say what the labels say have the labels' edges; other ones do not."""
    loss, label = L.DualTaskLoss(), np.where(LARGE_LABEL == IGNORE, 0, LARGE_LABEL)
    sure = _tensor(1000 * f.onehot(label))
    assert float(loss(sure, _tensor(label))) < 1e-4
    assert float(loss(sure, _tensor(label[:, ::-1].copy()))) > 0.05


def test_pixel_contrast_of_equal_embeddings() -> None:
    """With all embeddings equal, each anchor has as many negatives as views: (T / T₀)·log(1 + views)."""
    label = np.zeros((1, 8, 8), "int64")
    label[:, 4:] = 1
    embed = _tensor(np.ones((1, 3, 8, 8)))
    embed.stop_gradient = False
    seg = _tensor(_batch(2, 8)[0][:1, :, :, :8])
    value = L.PixelContrastCrossEntropyLoss(max_views=6)({"seg": seg, "embed": embed}, _tensor(label))
    np.testing.assert_allclose(float(value), 0.1 / 0.07 * np.log(7), rtol=1e-5)


def test_semantic_connectivity_of_one_blob() -> None:
    """One component a class: 1 − its intersection over union for class 1; class 0 weighs nothing in PaddleSeg, so 1."""
    label, predicted = np.zeros((2, 1, 8, 8), "int64")
    label[:, 4:], predicted[:, 6:] = 1, 1
    loss = L.SemanticConnectivityLoss()
    assert float(loss(_tensor(f.onehot(label, 2)), _tensor(label))) == pytest.approx((1 + 0) / 2)
    assert float(loss(_tensor(f.onehot(predicted, 2)), _tensor(label))) == pytest.approx((1 + 0.5) / 2)


def test_maskformer_falls_to_nothing_at_the_truth() -> None:
    """Queries that name the classes and draw their masks match them, whatever their order."""
    loss = L.MaskFormerLoss(num_classes=CLASSES)
    masks = f.onehot(np.where(LARGE_LABEL == IGNORE, 0, LARGE_LABEL))[:, :3]
    targets = {
        "gt_classes": _tensor(np.tile([0, 1, 2, IGNORE], (2, 1))),
        "gt_masks": _tensor(np.concatenate([masks, np.zeros_like(masks[:, :1])], 1)),
    }
    names = np.tile(40 * np.eye(CLASSES + 1)[[2, 0, 1]], (2, 1, 1))  # the fourth query is absent
    right = {"pred_logits": _tensor(names), "pred_masks": _tensor(80 * masks[:, [2, 0, 1]] - 40)}
    wrong = {"pred_logits": _tensor(names), "pred_masks": _tensor(40 - 80 * masks[:, [2, 0, 1]])}
    assert float(loss(right, targets)) < 1e-3
    assert float(loss(wrong, targets)) > 1


def test_every_registered_loss_is_tested() -> None:
    apart = {"MixedLoss", "DetailAggregateLoss", "DualTaskLoss", "PixelContrastCrossEntropyLoss"}
    apart |= {"SemanticConnectivityLoss", "MaskFormerLoss", "DistillationLoss"}  # the last is the develop head's
    registered = {n for n, c in manager.LOSSES.components_dict.items() if c.__module__.startswith("paddleseg.")}
    assert registered <= apart | {name.split("-")[0] for name in CASES}
