"""What counts as the same result: scores, class ids and probabilities, over all inputs together."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.export import sensitivity as sensitive
from paddleseg_ext.export import verify
from paddleseg_ext.export.exporter import FREE, Export, VerificationError
from paddleseg_ext.export.sensitivity import Sensitivity
from tests.export.test_exporter import trained

SHAPE = (1, 4, 120, 120)  # 14 400 pixels: one may have another class, two may not


class Fixed:
    """Stands for `Sensitivity`."""

    def __init__(self, largest: float) -> None:
        self.largest = largest
        self.allowed = min(1e-2, max(1e-4, 3 * largest))
        self.tie = 2 * max(1e-6, min(1e-4, 3 * largest))

    def allows(self, difference: float, _: sensitive.TestInput) -> bool:
        return difference <= self.allowed


def logits(lead: float = 0.5) -> np.ndarray:
    """Class 0 with 1, class 1 behind by the lead, the others with 0."""
    scores = np.zeros(SHAPE, np.float32)
    scores[:, 0], scores[:, 1] = 1, 1 - lead
    return scores


def judged(
    own: np.ndarray, found: np.ndarray, final: np.ndarray | None = None, op: str = "none", own_change: float = 0.0
) -> str | None:
    inputs = [sensitive.TestInput(np.zeros((1, 3, 120, 120), np.float32), own)]
    sensitivity: Any = Fixed(own_change)
    run = lambda _: found  # noqa: E731  # the same object where there is no last operation
    last = run if final is None else lambda _: final
    return verify.fault([*verify.compare("onnx", last, run, op, inputs, sensitivity.tie)], inputs, sensitivity)


def changed(scores: np.ndarray, by: float, pixels: int = 1, channel: int = 1) -> np.ndarray:
    result = scores.copy()
    result[0, channel].reshape(-1)[:pixels] += np.float32(by)
    return result


@pytest.mark.parametrize(
    ("by", "own_change", "passed"),
    [(0.9e-4, 0, True), (1.1e-4, 0, False), (1.1e-4, 1e-4, True), (2.9e-3, 1e-3, True), (3.1e-3, 1e-3, False)]
    + [(0.9e-2, 1.0, True), (1.1e-2, 1.0, False)],
)
def test_scores_may_differ_by_the_networks_own_change(by: float, own_change: float, passed: bool) -> None:
    words = judged(logits(), changed(logits(), by), own_change=own_change)
    assert (words is None) is passed
    if words:
        assert f"onnx, 1 × 120×120: scores differ by {by:.1e} of the largest" in words
        assert f"changes by up to {own_change:.1e}" in words
        assert f"so {min(1e-2, max(1e-4, 3 * own_change)):.1e} is allowed" in words


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    assert judged(logits(), changed(logits(), value), own_change=1.0)
    assert judged(changed(logits(), value), logits(), own_change=1.0)
    probabilities = changed(np.full(SHAPE, 0.25, np.float32), value)
    assert judged(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32), probabilities, "softmax", 1.0)


def ids(pixels: int, found: int = 1) -> np.ndarray:
    result = np.zeros((1, 120, 120), np.int32)
    result.reshape(-1)[:pixels] = found
    return result


@pytest.mark.parametrize(
    ("lead", "own_change", "pixels", "passed"),
    [
        (0.0, 0, 14400, True),  # nothing tells the two classes apart
        (1e-6, 0, 14400, True),
        (1e-5, 0, 1, True),
        (1e-5, 0, 2, False),
        (1e-5, 1e-5, 14400, True),  # within what the last digit does to the network itself
        (1.9e-4, 1e-3, 14400, True),
        (3e-4, 1e-3, 1, True),
        (3e-4, 1e-3, 2, False),  # an ill-conditioned network has no more ties than others
        (3e-4, 0, 1, False),  # no allowed difference brings this class to the front
        (1.9e-2, 1.0, 1, True),
        (2.1e-2, 1.0, 1, False),
    ],
)
def test_class_ids(lead: float, own_change: float, pixels: int, passed: bool) -> None:
    assert (judged(logits(lead), logits(lead), ids(pixels), "argmax", own_change) is None) is passed


@pytest.mark.parametrize("found", [-1, 4, 255])
def test_a_class_that_there_is_not_is_refused(found: int) -> None:
    assert judged(logits(), logits(), ids(1, found), "argmax", 1.0)


def test_pixels_are_counted_over_all_inputs_of_a_format() -> None:
    case = lambda backend, differing: verify.Comparison(backend, (1, 100, 150), 1e-5, differing, 1.5e-4)  # noqa: E731
    inputs = [sensitive.TestInput(np.zeros(1), np.zeros(1))] * 2
    few: Any = [case("paddle", 3), case("paddle", 0), case("onnx", 0), case("onnx", 3)]
    many: Any = [case("paddle", 0), case("paddle", 0), case("onnx", 2), case("onnx", 2)]
    sensitivity: Any = Fixed(0)
    assert verify.fault(few, inputs, sensitivity) is None  # 3 of 30 000
    words = verify.fault(many, inputs, sensitivity)
    assert words and words.startswith("onnx: 4 of 30000 pixels have another class, more than 0.01 %")


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_probabilities_are_compared_too() -> None:
    scores = 10 * logits()
    assert judged(scores, scores, softmax(scores), "softmax") is None
    twice = judged(scores, scores, softmax(softmax(scores)), "softmax")  # the same classes
    assert twice and "scores differ by" in twice
    tiny = 1e-9 * logits()  # float32 has one probability for all of these
    assert judged(tiny, tiny, softmax(tiny), "softmax") is None


def test_a_result_of_another_size_fails() -> None:
    assert judged(logits(), logits()[:, :, ::2])
    assert judged(logits(), logits(), ids(0)[:, ::2], "argmax")


def test_fixed_sizes_are_what_is_verified() -> None:
    net = trained("FCNHead")
    shapes = [test_input.images.shape for test_input in verify.make_inputs(net, (3, 3, None, 80), None)]
    assert shapes == [(3, 3, 128, 80), (3, 3, 97, 80), (3, 3, 100, 80)]
    small = [test_input.images for test_input in verify.make_inputs(net, (1, 3, 32, 40), None)]
    assert [images.shape for images in small] == [(1, 3, 32, 40)] * 8 and (small[0] != small[1]).any()
    assert len(verify.make_inputs(net, (1, 3, 8, 8), None)) == verify.MOST_INPUTS


def test_a_network_of_nan_is_refused(tmp_path: Any) -> None:
    net = trained("FCNHead")
    bias = net.decode_head.classifier.bias
    bias.set_value(paddle.full_like(bias, float("nan")))
    with pytest.raises(VerificationError, match="the network itself gives scores that are NaN or infinite"):
        Export().write(net, tmp_path)
    assert list(tmp_path.iterdir()) == []


class Steep(nn.Layer):
    """The difference of an input and its mean, times so much that float32's last digit shows."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.runs = factor, 0

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        self.runs += 1
        return [paddle.tanh((x - 1) * self.factor)]


def test_sensitivity_is_the_change_with_the_last_digit() -> None:
    ones = np.ones((1, 2, 4, 4), np.float32)  # the next are 1 + 2⁻²³ and 1 - 2⁻²⁴
    net = Steep(2.0**13)
    inputs = [sensitive.TestInput(ones, np.ones_like(ones))] * 3
    sensitivity = Sensitivity(net, inputs[:1], None)
    assert sensitivity.largest == pytest.approx(1 + 2.0**-11, rel=1e-6)  # of scores that should have been 1
    assert sensitivity.measurements == net.runs == 2 and sensitivity.allowed == 1e-2
    inputs[0].logits = net(paddle.to_tensor(ones))[0].numpy() + 1
    net = Steep(2.0**13)
    net.forward = lambda x: [Steep.forward(net, x)[0] + 1]
    sensitivity = Sensitivity(net, inputs[:1], None)
    assert sensitivity.largest == pytest.approx(2.0**-10, rel=1e-3)
    assert sensitivity.allowed == pytest.approx(3 * 2.0**-10, rel=1e-3) and sensitivity.tie == 2e-4
    assert sensitivity.allows(2e-3, inputs[0]) and net.runs == 2
    assert not sensitivity.allows(9e-3, inputs[0]) and net.runs == 32, "measured more often before it says no"
    assert not sensitivity.allows(9e-3, inputs[0]) and net.runs == 32, "once"
    assert not sensitivity.allows(float("inf"), inputs[0]) and not sensitivity.allows(float("nan"), inputs[0])


def test_sensitivity_goes_through_the_colors() -> None:
    net = trained("FCNHead")
    colors = verify.USUAL
    with_colors = verify.make_inputs(net, FREE, colors, [(32, 40)])
    without = verify.make_inputs(net, FREE, None, [(32, 40)])
    assert with_colors[0].images.dtype == np.uint8
    assert Sensitivity(net, with_colors, colors).largest == Sensitivity(net, without, None).largest > 0
