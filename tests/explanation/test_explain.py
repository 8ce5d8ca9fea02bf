"""`Segmentor.explain`: pixels and classes, images that are resized or padded, gradients, heads that nobody knows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.transforms import Normalize, Padding, Resize

from paddleseg_ext.errors import UserError
from paddleseg_ext.explanation import EXPLAINERS, Bars, Maps, Section, register_explainer
from paddleseg_ext.explanation.general import Trace
from paddleseg_ext.explanation.geometry import grid
from paddleseg_ext.heads import FCNHead
from paddleseg_ext.inference import Segmentor
from paddleseg_ext.layers.functional import KERNELS
from tests.explanation.networks import COLORS, HEADS, NAMES, network, picture, segmentor
from tests.tiny_run import TwoOutputs

TRANSFORMS = {
    "none": [Normalize()],
    "resized": [Resize(target_size=[40, 52]), Normalize()],
    "padded": [Normalize(), Padding(target_size=[72, 56])],
    "both": [Resize(target_size=[40, 52]), Padding(target_size=[64, 56]), Normalize()],
}


@pytest.mark.parametrize("name", list(HEADS))
def test_every_head_is_explained(name: str) -> None:
    made = network(name)
    model = segmentor(made)
    made.train()
    trained = [not parameter.stop_gradient for parameter in made.parameters()]
    found = model.explain(picture(), pixels=[(0, 0), (60, 44), (30, 20)])
    assert made.training and [not parameter.stop_gradient for parameter in made.parameters()] == trained
    titles = [section.title for section in found]
    assert titles[0] == "Classes of the pixel" and titles[-2:] == ["Effective receptive field", "Class activation"]
    assert (len(titles) > 3) == (name != "FCNHead")
    if name == "FastFCNHead":
        assert titles[1:4] == ["Joint pyramid upsampling", "Codewords", "Channel gates"]
    np.testing.assert_array_equal(found.pred, model.predict(picture()))
    for section in found:
        for finding in section:
            assert np.isfinite(finding.values).all(), finding.title
            assert finding.axis != "pixel" or finding.at == [[0, 0], [60, 44], [30, 20]]
            if isinstance(finding, Maps) and not finding.signed:
                assert (np.asarray(finding.values) >= 0).all()


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_scores_are_those_of_logits(name: str) -> None:
    made = network("PSPHead")
    model = segmentor(made, TRANSFORMS[name])
    image = picture()
    found, logits = model.explain(image, grid=(7, 5)), model.logits(image)
    shown = found["Classes of the pixel"]
    expected = np.stack([logits[:, y, x] for x, y in found.pixels])
    np.testing.assert_allclose(shown["Logit"].values, expected, atol=1e-5 * np.abs(logits).max())
    np.testing.assert_allclose(shown["Probability"].values.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found.pred, model.predict(image))
    bars = found["Pyramid pooling"]["Contribution to the logit"].values.sum(1)
    np.testing.assert_allclose(bars, expected.max(1), atol=1e-5 * np.abs(logits).max())
    height, width = found["Effective receptive field"]["Gradient"].values.shape[-2:]
    assert (height, width) == {"resized": (52, 40), "both": (52, 40)}.get(name, (45, 61))


def test_a_backbone_that_needs_a_multiple() -> None:
    made = network("PSPHead")
    made.maps = SimpleNamespace(
        multiple=16, form=made.maps.form, pad=lambda x, size: nn.functional.pad(x, [0, 3, 0, 3])
    )
    model = segmentor(made, [Normalize()])
    image = picture()
    found, logits = model.explain(image, grid=(3, 3)), model.logits(image)
    expected = np.stack([logits[:, y, x] for x, y in found.pixels]).max(1)
    bars = found["Pyramid pooling"]["Contribution to the logit"].values.sum(1)
    np.testing.assert_allclose(bars, expected, atol=1e-5 * np.abs(logits).max())


@pytest.mark.parametrize("name", ["CCHead", "FastFCNHead"])
def test_the_receptive_field_is_a_gradient(name: str) -> None:
    """Beside a difference quotient along a random direction, and without the CPU's kernels."""
    made = network(name)
    model = segmentor(made, [Normalize()])
    image = picture()
    field = model.explain(image, pixels=[(20, 17)])["Effective receptive field"]["Gradient"].values[0, 0]
    sample = model.task.prepared(model.task.read(image))["img"][None]
    target = int(model.logits(image)[:, 17, 20].argmax())
    x = paddle.to_tensor(sample)
    x.stop_gradient = False
    made.eval()
    kernels = dict(KERNELS)
    KERNELS.clear()
    try:
        made(x)[0][0, target, 17, 20].backward()
    finally:
        KERNELS.update(kernels)
    expected = np.abs(x.grad.numpy()[0]).sum(0)
    np.testing.assert_allclose(field, expected, atol=1e-4 * expected.max())
    assert expected.max() > 0


def test_the_gradient_reaches_no_further_than_the_kernels() -> None:
    made = TwoOutputs(len(NAMES), plain=True)
    found = segmentor(made).explain(picture(), pixels=[(30, 20)])
    field = found["Effective receptive field"]
    reached = np.argwhere(field["Gradient"].values[0, 0])
    assert reached.min(0).tolist() == [18, 28] and reached.max(0).tolist() == [22, 32]  # two 3×3 convolutions
    half, most = field["Reach"].values[0]
    assert 0 < half <= most <= np.hypot(2, 2)


def test_class_activation() -> None:
    made = network("FCNHead")
    found = segmentor(made).explain(picture(), grid=(2, 2), classes=["road", 3, "0"])
    assert found.asked == [1, 3, 0]
    shown = found["Class activation"]["Grad-CAM on the classifier's input"]
    sample = segmentor(made).task.prepared(segmentor(made).task.read(picture()))["img"][None]
    trace = Trace(made, paddle.to_tensor(sample), len(NAMES))
    feature, weight = trace.last.numpy()[0], made.decode_head.classifier.weight.numpy()[:, :, 0, 0]
    for target, values in zip(found.asked, shown.values):
        cam = np.maximum(np.tensordot(weight[target], feature, 1), 0)  # Zhou et al.: the gradient is the weight
        np.testing.assert_allclose(values[0] * cam.max(), cam * values.max(), atol=1e-5 * cam.max() * values.max())
    assert "Grad-CAM on the backbone's last map" in [finding.title for finding in found["Class activation"]]


def test_a_network_of_any_kind() -> None:
    found = segmentor(TwoOutputs(len(NAMES))).explain(picture(), grid=(2, 2))
    assert [section.title for section in found] == [
        "Classes of the pixel",
        "Effective receptive field",
        "Class activation",
    ]
    assert [finding.title for finding in found["Class activation"]] == ["Grad-CAM on the classifier's input"]


def test_an_explainer_of_ones_own() -> None:
    class OwnHead(FCNHead):
        pass

    made = network("FCNHead")
    made.decode_head.__class__ = OwnHead

    @register_explainer(OwnHead)
    def explain_own(head: OwnHead, view) -> list[Section]:
        (calls,) = view.watch(head.convs)
        energy = calls[0].output.norm(axis=1)
        return [Section("Own", "Norm.", [view.maps("Energy", energy, ["convs"]), Bars("One", [1.0], ["一"])])]

    try:
        found = segmentor(made).explain(picture(), grid=(2, 2))
    finally:
        del EXPLAINERS[OwnHead]
    assert found["Own"]["Energy"].values.shape == (1, 6, 8) and found["Own"]["Energy"].values.max() > 0
    with pytest.raises(KeyError, match="there are Energy, One"):
        found["Own"]["energy"]
    with pytest.raises(KeyError, match="there are Classes of the pixel, Own"):
        found["own"]
    with pytest.raises(ValueError, match=r"Energy: values have the shape \[2, 3\]"):
        Maps("Energy", np.zeros((2, 3)), ["a", "b"])


def test_pixels_of_a_grid() -> None:
    pixels = grid((45, 61), 12, 9)
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == 108
    assert pixels.min(0).tolist() == [2, 2] and pixels.max(0).tolist() == [58, 42]
    assert len(grid((2, 3), 12, 9)) == 6


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"pixels": [(61, 3)]}, r"`pixels`: 61 3 lies outside the image of 61×45; x is 0…60, y is 0…44"),
        ({"pixels": [(1, -1)]}, "lies outside"),
        ({"pixels": []}, "`pixels`: 0 are not allowed"),
        ({"pixels": [(1, 2, 3)]}, "1 2 3 is not allowed; a pixel is two whole numbers"),
        ({"pixels": [(1.5, 2)]}, "two whole numbers"),
        ({"pixels": [3, 4]}, "two whole numbers"),
        ({"classes": ["raod"]}, "'raod' is no class of the network; did you mean 'road'"),
        ({"classes": [4]}, "'4' is no class of the network; they are sky, road, a tree"),
        ({"grid": (0, 3)}, "`grid`: 0 3 is not allowed"),
        ({"grid": (100, 100)}, "at most 400 pixels"),
    ],
)
def test_mistakes(arguments: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        segmentor(TwoOutputs(len(NAMES))).explain(picture(), **arguments)


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    found = segmentor(TwoOutputs(len(NAMES))).explain(picture(), grid=(2, 2))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="nothing can be written there"):
        found.save(tmp_path / "file" / "x")


def test_the_colors_are_the_tasks() -> None:
    found = segmentor(TwoOutputs(len(NAMES))).explain(picture(), grid=(2, 2))
    assert isinstance(segmentor(TwoOutputs(4)), Segmentor) and (found.palette == COLORS).all()
