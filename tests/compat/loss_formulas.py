"""The formulas of PaddleSeg's losses in NumPy: logits (N, C, H, W), labels (N, H, W), float64 numbers."""

from __future__ import annotations

import numpy as np

IGNORE = 255


def softmax(x: np.ndarray) -> np.ndarray:
    exp = np.exp(x.astype("float64") - x.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x.astype("float64"))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype("float64")))


def onehot(label: np.ndarray, classes: int = 5) -> np.ndarray:
    """(N, H, W) -> (N, classes, H, W), zero where ignored."""
    return (label[:, None] == np.arange(classes)[:, None, None]).astype("float64")


def pixel_ce(logit: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Cross entropy of each pixel (N, H, W), 0 where ignored."""
    return -(np.log(softmax(logit)) * onehot(label, logit.shape[1])).sum(1)


def ce(logit: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None, top: float = 1.0) -> float:
    coef = (label != IGNORE) * 1.0 if weight is None else (onehot(label) * weight[:, None, None]).sum(1)
    loss = pixel_ce(logit, label) * coef
    if top == 1.0:
        return loss.mean() / coef.mean()
    hardest = np.argsort(-loss.ravel())[: int(top * loss.size)]
    return loss.ravel()[hardest].mean() / coef.ravel()[hardest].mean()


def ohem(logit: np.ndarray, label: np.ndarray, thresh: float, min_kept: int) -> float:
    """Mean over the pixels whose true class has a probability below thresh or the min_kept-th smallest."""
    prob = np.where(label == IGNORE, 1.0, np.exp(-pixel_ce(logit, label)))
    kept = prob < max(thresh, np.sort(prob.ravel())[min_kept - 1])
    return pixel_ce(logit, label)[kept].mean()


def dice(logit: np.ndarray, label: np.ndarray) -> float:
    prob, truth = softmax(logit) * (label != IGNORE)[:, None], onehot(label)
    overlap, total = (prob * truth).sum((2, 3)), (prob + truth).sum((2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def lovasz_extension(error: np.ndarray, truth: np.ndarray) -> float:
    """Σ of the sorted errors times the steps of the Jaccard loss (Berman et al., CVPR 2018, Alg. 1)."""
    order = np.argsort(-error)
    truth = truth[order]
    jaccard = 1 - (truth.sum() - truth.cumsum()) / (truth.sum() + (1 - truth).cumsum())
    return (error[order] * np.diff(jaccard, prepend=0)).sum()


def lovasz_softmax(logit: np.ndarray, label: np.ndarray) -> float:
    valid = label != IGNORE
    prob, truth = softmax(logit).transpose(1, 0, 2, 3)[:, valid], onehot(label).transpose(1, 0, 2, 3)[:, valid]
    return np.mean([lovasz_extension(abs(t - p), t) for p, t in zip(prob, truth) if t.any()])


def lovasz_hinge(logit: np.ndarray, label: np.ndarray) -> float:
    valid = label != IGNORE
    truth = label[valid].astype("float64")
    error = 1 - logit[:, 0][valid] * (2 * truth - 1)
    order = np.argsort(-error)
    return lovasz_extension(np.maximum(error, 0)[order], truth[order])


def bce(logit: np.ndarray, label: np.ndarray, pos_weight: float = 1.0, balanced: bool = False) -> float:
    """Ignored pixels count as class 0 in the balance, as they do in PaddleSeg, and as nothing in the loss."""
    mask = (label != IGNORE)[:, None]
    truth = onehot(np.where(label == IGNORE, 0, label))
    loss = pos_weight * truth * softplus(-logit) + (1 - truth) * softplus(logit)
    if balanced:
        loss *= np.where(truth == 1, 2 * (1 - truth.mean()), 2 * truth.mean())
    return (loss * mask).mean() / mask.mean()


def bootstrapped(logit: np.ndarray, label: np.ndarray, threshold: float, fewest: int) -> float:
    means = []
    for loss in pixel_ce(logit, label):
        loss = np.sort(loss.ravel())[::-1]
        means.append(loss[loss > threshold].mean() if loss[fewest] > threshold else loss[:fewest].mean())
    return np.mean(means)


def relax_boundary(logit: np.ndarray, label: np.ndarray, border: int = 1, upper_bound: float | None = None) -> float:
    """The probabilities of all classes within ``border`` pixels count together (Zhu et al., CVPR 2019, Sec. 3.3).

    With an upper bound a class that is there weighs 1 + bound · (1 - its share), where "ignored" is a class as well,
    and padding is ignored; each of a pixel's classes then adds its own part of the loss.
    """
    n, c, h, w = logit.shape
    classes = np.where(label == IGNORE, c, label)
    padded = np.pad(classes, ((0, 0), (border, border), (border, border)), constant_values=c)
    padded = onehot(padded, c + 1)
    steps = range(2 * border + 1)
    near = np.max([padded[:, :, y : y + h, x : x + w] for y in steps for x in steps], axis=0)
    total = 0.0
    for prob, relaxed in zip(softmax(logit), near):
        truth = relaxed[:-1]
        count = truth.sum(0)
        weight = np.ones(c)
        if upper_bound is not None:
            share = relaxed.sum((1, 2))[:-1] / relaxed.sum()
            weight = 1 + upper_bound * (share > 0) * (1 - share)
        mean_weight = (truth * weight[:, None, None]).sum(0) / np.maximum(count, 1)
        loss = -np.log(np.where(count > 0, (prob * truth).sum(0), 1.0)) * mean_weight
        total += loss[count > 0].sum() / (h * w - (count == 0).sum() + 1)
    return total


def focal(logit: np.ndarray, label: np.ndarray, alpha: float = 0.25) -> float:
    truth, prob = onehot(label, 2), sigmoid(logit)
    loss = alpha * truth * (1 - prob) ** 2 * softplus(-logit) + (1 - alpha) * (1 - truth) * prob**2 * softplus(logit)
    return loss.transpose(0, 2, 3, 1)[label != IGNORE].mean()


def se(logit: np.ndarray, label: np.ndarray) -> float:
    present = onehot(label).max((2, 3))
    return (present * softplus(-logit) + (1 - present) * softplus(logit)).mean()


def rmi(logit: np.ndarray, label: np.ndarray) -> float:
    """Region mutual information with 3×3 max pooling and 3×3 regions (Zhao et al., NeurIPS 2019, Sec. 3.4)."""

    def regions(x: np.ndarray) -> np.ndarray:  # (N, C, H, W) -> centered (N, C, 9, pixels)
        n, c, h, w = x.shape
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        rows, cols = (h - 1) // 3 + 1, (w - 1) // 3 + 1
        x = np.stack(
            [x[:, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].max((2, 3)) for i in range(rows) for j in range(cols)], -1
        )
        x = x.reshape(n, c, rows, cols)
        shifts = [x[:, :, i : i + rows - 2, j : j + cols - 2].reshape(n, c, -1) for i in range(3) for j in range(3)]
        return np.stack(shifts, 2) - np.stack(shifts, 2).mean(3, keepdims=True)

    truth, prob = regions(onehot(label)), regions(sigmoid(logit) * (label != IGNORE)[:, None] + 1e-6)
    cross, ridge = truth @ prob.swapaxes(2, 3), 5e-4 * np.eye(9)
    covariance = truth @ truth.swapaxes(2, 3) - cross @ np.linalg.inv(
        prob @ prob.swapaxes(2, 3) + ridge
    ) @ cross.swapaxes(2, 3)
    return (0.5 * np.linalg.slogdet(covariance + ridge)[1].mean(0) / 9).sum()
