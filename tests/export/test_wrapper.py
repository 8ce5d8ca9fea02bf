"""What surrounds a network in an exported graph."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.transforms import Normalize, Resize

from paddleseg_ext.data.transforms import FastNormalize
from paddleseg_ext.errors import UserError
from paddleseg_ext.export.wrapper import Colors, Exportable

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Logits(nn.Layer):
    """Three classes: the colors themselves, and a second output that is nobody's."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [x, x.mean()]


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)


@pytest.mark.parametrize("kind", [Normalize, FastNormalize])
@pytest.mark.parametrize("numbers", [{"mean": MEAN, "std": STD}, {}], ids=["three", "one"])
def test_colors_are_those_of_the_transform(kind: type, numbers: dict) -> None:
    colors = Colors.of([Resize(), kind(**numbers)])
    found = colors(picture())
    for image, result in zip(picture(), found):
        expected = kind(**numbers)({"img": image.astype("float32")})["img"]
        np.testing.assert_allclose(result, expected.transpose(2, 0, 1), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(colors.undone(found), picture())


@pytest.mark.parametrize("transforms", [[], [Resize()], [Normalize(), Resize()], [Normalize(), FastNormalize()]])
def test_transforms_without_one_normalization_at_the_end_are_refused(transforms: list) -> None:
    with pytest.raises(UserError, match="`with_normalize`: val_dataset.transforms must end with"):
        Colors.of(transforms)


def test_outputs() -> None:
    x = paddle.randn([2, 3, 4, 5])
    scores = Exportable(Logits(), "none")(x)
    ids, shares = Exportable(Logits(), "argmax")(x), Exportable(Logits(), "softmax")(x)
    assert (scores == x).all()
    assert ids.dtype == paddle.int32 and (ids.numpy() == x.numpy().argmax(1)).all()
    np.testing.assert_allclose(shares.numpy().sum(1), 1, rtol=1e-6)
    with pytest.raises(ValueError, match="output_op='max'"):
        Exportable(Logits(), "max")


def test_normalizing_inside_takes_pictures() -> None:
    colors = Colors.of([Normalize(MEAN, STD)])
    inside = Exportable(Logits(), "none", colors)(paddle.to_tensor(picture()))
    np.testing.assert_allclose(inside.numpy(), colors(picture()), rtol=0, atol=1e-6)
