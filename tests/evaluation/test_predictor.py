"""Windows, scales and flips against naive loops and PaddleSeg's own inference."""

from __future__ import annotations

import tracemalloc

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F
from paddleseg.core import infer as stock

from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.predictor import Predictor, evaluating, read_test_config
from paddleseg_ext.evaluation.score_maps import argmax, from_tensor
from paddleseg_ext.evaluation.sliding_window import sliding_bands, window_starts
from paddleseg_ext.layers.functional import KERNELS
from paddleseg_ext.runtime import arrays

CLASSES = 5


class Net(nn.Layer):
    """Scores that depend on a neighborhood and on where the window ends; `reduce` gives them at half the size."""

    def __init__(self, reduce: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, CLASSES, 5, padding=2, stride=2 if reduce else 1)
        self.norm = nn.BatchNorm2D(CLASSES)
        self.calls: list[int] = []

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        self.calls.append(len(x))
        x = self.norm(self.conv(x))
        return [x + x.mean([2, 3], keepdim=True), x]


@pytest.fixture
def net() -> Net:
    net = Net()
    net.eval()
    return net


@pytest.fixture(params=["as arrays", "as tensors"])
def maps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handle score maps as on the CPU, and as on other devices."""
    if request.param == "as tensors":
        monkeypatch.setattr(arrays, "on_host", lambda tensor: False)


@pytest.fixture
def plain_resizing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paddle's own arithmetic, as in the reference: a kernel rounds positions otherwise, and has tests of its own."""
    monkeypatch.delitem(KERNELS, "resize_bilinear", raising=False)


def _naive_windows(net: Net, images: paddle.Tensor, crop: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """In float64, window by window; the last window of a row or column is moved back inside."""
    count, _, height, width = images.shape
    total, hits = np.zeros((count, CLASSES, height, width)), np.zeros((height, width))
    y = 0
    while True:
        top = max(min(y, height - crop[1]), 0)
        x = 0
        while True:
            left = max(min(x, width - crop[0]), 0)
            window = images[:, :, top : top + crop[1], left : left + crop[0]]
            total[:, :, top : top + crop[1], left : left + crop[0]] += net(window)[0].numpy()
            hits[top : top + crop[1], left : left + crop[0]] += 1
            if x + crop[0] >= width:
                break
            x += stride[0]
        if y + crop[1] >= height:
            return total / hits
        y += stride[1]


SIZES = {
    "smaller than the window": (20, 30),
    "narrower only": (70, 30),
    "lower only": (20, 90),
    "equal": (32, 48),
    "not a multiple": (75, 131),
    "a multiple": (96, 144),
    "one pixel more": (33, 49),
}
WINDOWS = {"overlapping": ((48, 32), (20, 15)), "side by side": ((48, 32), (48, 32)), "dense": ((48, 32), (7, 31))}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", WINDOWS)
def test_windows_equal_a_naive_loop(maps: None, net: Net, size: str, window: str) -> None:
    crop, stride = WINDOWS[window]
    images = paddle.randn([2, 3, *SIZES[size]])
    predictor = Predictor(is_slide=True, crop_size=crop, stride=stride)
    with paddle.no_grad():
        expected = _naive_windows(net, images, crop, stride)
        logits = np.asarray(predictor.logits(net, images))
        pred = predictor.predict(net, images, [[], []])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.stack(pred), logits.argmax(1))
    reference = paddle.concat([stock.slide_inference(net, image[None], crop, stride) for image in images]).numpy()
    np.testing.assert_allclose(logits, reference, rtol=0, atol=1e-5)


AUGMENTATIONS = [  # every pair of a size, flips, and windows or none
    (size, flips, (i + j) % 2 == 0)
    for i, size in enumerate([(20, 30), (32, 48), (75, 131)])
    for j, flips in enumerate([(False, False), (True, False), (False, True), (True, True)])
]


@pytest.mark.usefixtures("plain_resizing")
@pytest.mark.parametrize("size, flips, slide", AUGMENTATIONS)
def test_scales_and_flips_equal_a_naive_loop(maps: None, net: Net, size: tuple, slide: bool, flips: tuple) -> None:
    crop, stride = WINDOWS["overlapping"]
    images = paddle.randn([2, 3, *size])
    windows = {"is_slide": True, "crop_size": crop, "stride": stride} if slide else {}
    scales = [0.5, 1.0, 1.75]
    predictor = Predictor(aug_eval=True, scales=scales, flip_horizontal=flips[0], flip_vertical=flips[1], **windows)
    total, count = 0, 0
    with paddle.no_grad():
        for scale in scales:
            shape = [int(length * scale + 0.5) for length in size]
            scaled = F.interpolate(images, shape, mode="bilinear")
            for axes in [[], [3], [2], [2, 3]]:
                if not set(axes) <= {axis for axis, flip in zip((3, 2), flips) if flip}:
                    continue
                view = paddle.flip(scaled, axes) if axes else scaled
                logits = paddle.to_tensor(_naive_windows(net, view, crop, stride)) if slide else net(view)[0]
                logits = paddle.flip(logits, axes) if axes else logits
                total = total + F.interpolate(logits.astype("float64"), list(size), mode="bilinear").numpy()
                count += 1
        logits = np.asarray(predictor.logits(net, images))
        pred = predictor.predict(net, images, [[], []])
    np.testing.assert_allclose(logits, total / count, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.stack(pred), logits.argmax(1))


@pytest.mark.parametrize("slide", [False, True])
@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize(
    "trans_info",
    [
        [],
        [("resize", (51, 37))],
        [("padding", (40, 60))],
        [("resize", (100, 37)), ("padding", (40, 60))],
        [("padding", (90, 99)), ("resize", (95, 100))],
    ],
)
def test_equals_paddleseg_at_the_original_size(net: Net, slide: bool, augmented: bool, trans_info: list) -> None:
    image = paddle.randn([1, 3, 64, 80])
    settings = {"is_slide": slide, "crop_size": (48, 32), "stride": (20, 15)}
    more = {"scales": [0.75, 1.25], "flip_horizontal": True, "flip_vertical": True}
    with paddle.no_grad():
        if augmented:
            expected, logits = stock.aug_inference(net, image, trans_info, **more, **settings)
        else:
            expected, logits = stock.inference(net, image, trans_info, **settings)
        (pred,) = Predictor(aug_eval=augmented, **more, **settings).predict(net, image, [trans_info])
    assert pred.shape == tuple(expected.shape[-2:])
    best = np.sort(logits.numpy()[0], axis=0)
    decided = best[-1] - best[-2] > 1e-4  # where two classes are level, rounding decides
    assert decided.mean() > 0.99
    np.testing.assert_array_equal(pred[decided], expected.numpy()[0, 0][decided])


def test_images_of_one_batch_go_back_to_sizes_of_their_own(maps: None, net: Net) -> None:
    images = paddle.randn([2, 3, 32, 32])
    infos = [[("resize", (20, 31))], [("resize", (50, 11)), ("padding", (30, 32))]]
    with paddle.no_grad():
        together = Predictor().predict(net, images, infos)
        alone = [Predictor().predict(net, images[i : i + 1], [infos[i]])[0] for i in range(2)]
    assert [tuple(pred.shape) for pred in together] == [(20, 31), (50, 11)]
    for a, b in zip(together, alone):
        np.testing.assert_array_equal(a, b)


def test_the_window_batch_changes_only_the_number_of_calls(net: Net) -> None:
    images = paddle.randn([2, 3, 70, 90])
    results = []
    for window_batch in (1, 2, 5, 64):
        net.calls.clear()
        predictor = Predictor(is_slide=True, crop_size=(32, 32), stride=(20, 20), window_batch=window_batch)
        with paddle.no_grad():
            results.append(np.asarray(predictor.logits(net, images)))
        assert sum(net.calls) == 2 * 4 * 3
        assert max(net.calls) == max(2, min(window_batch // 2 * 2, 24))
        np.testing.assert_allclose(results[-1], results[0], rtol=0, atol=1e-6)


def test_bands_hold_a_window_of_rows_at_most(net: Net) -> None:
    images = paddle.randn([1, 3, 200, 40])
    with paddle.no_grad():
        bands = sliding_bands(lambda x: from_tensor(net(x)[0]), images, (32, 32), (24, 24), window_batch=3)
        heights = [band.shape[2] for band in bands]
    assert max(heights) == 32 and sum(heights) == 200
    assert heights == [24] * 7 + [32]


MANY, TALL, WIDE, WINDOW = 150, 640, 96, (64, 48)  # classes, height, width, and a window's width and height
STRIP, MAP = (4 * MANY * WIDE * height for height in (WINDOW[1], TALL))  # bytes of float32


SCALES = {"aug_eval": True, "scales": [0.5, 1.5], "flip_horizontal": True}


@pytest.mark.parametrize(
    "settings, bound",
    [
        ({}, 0),  # the network's own map is enough
        ({"is_slide": True}, 2 * STRIP),
        ({"is_slide": True, "window_batch": 7}, 2 * STRIP),
        ({**SCALES, "is_slide": True}, (2 * 1.5**2 + 2) * MAP + 2 * 1.5 * STRIP),
        (SCALES, (1.5**2 * (1 + 3 / MANY) + 2) * MAP),
    ],
)
def test_memory_for_logits_stays_within_its_bound(settings: dict, bound: float) -> None:
    net = nn.Conv2D(3, MANY, 1)
    image = paddle.randn([1, 3, TALL, WIDE])
    predictor = Predictor(crop_size=WINDOW, stride=(40, 30), **settings)
    with paddle.no_grad():
        predictor.predict(net, image, [[]])  # what is allocated once and for all
        tracemalloc.start()
        try:
            (pred,) = predictor.predict(net, image, [[]])
            peak = tracemalloc.get_traced_memory()[1]  # NumPy's arrays; Paddle's are the network's
        finally:
            tracemalloc.stop()
    assert len(np.unique(pred)) > 20
    assert peak < bound + 8 * pred.nbytes + 2**16


def test_paddle_holds_no_copies_of_windows() -> None:
    held = []

    class Watched(nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            held.append(core.host_memory_stat_current_value("Allocated", 0))
            return [paddle.zeros([len(x), MANY, *x.shape[-2:]])]

    core = paddle.base.core
    image = paddle.randn([1, 3, TALL, WIDE])
    with paddle.no_grad():
        Predictor(is_slide=True, crop_size=WINDOW, stride=(40, 30)).predict(Watched(), image, [[]])
    window = 4 * MANY * WINDOW[0] * WINDOW[1]
    assert max(held) - held[0] < 1.5 * window  # of the window before, nothing more


@pytest.mark.usefixtures("plain_resizing")
def test_low_resolution_logits_are_resized_to_the_image() -> None:
    net = Net(reduce=True)
    net.eval()
    image = paddle.randn([1, 3, 31, 45])
    with paddle.no_grad():
        expected = F.interpolate(net(image)[0], [31, 45], mode="bilinear")
        np.testing.assert_allclose(np.asarray(Predictor().logits(net, image)), expected.numpy(), atol=1e-6)


def test_half_precision_logits_are_averaged_in_float32(net: Net) -> None:
    class Half(nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [net(x)[0].astype("float16")]

    image = paddle.randn([1, 3, 70, 40])
    predictor = Predictor(is_slide=True, crop_size=(32, 32), stride=(9, 9), aug_eval=True, flip_horizontal=True)
    with paddle.no_grad():
        full, half = (np.asarray(predictor.logits(model, image)) for model in (net, Half()))
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 5e-3  # logits reach 5, half precision rounds them by 2e-3
    assert (half.astype(np.float16) != half).mean() > 0.5  # the mean was not rounded to half precision


def test_window_starts_cover_every_pixel() -> None:
    for size in range(1, 60):
        for window in (1, 7, 32):
            for stride in range(1, window + 1):
                starts = window_starts(size, window, stride)
                covered = {p for start in starts for p in range(start, min(start + window, size))}
                assert covered == set(range(size)) and starts == sorted(set(starts))


@pytest.mark.parametrize("shape", [(1, 4, 5), (7, 13, 9), (300, 6, 5)])
def test_argmax_takes_the_lowest_of_equals_from_any_memory_layout(shape: tuple) -> None:
    logits = np.random.default_rng(0).integers(0, 4, shape).astype(np.float32)
    for layout in (logits, logits[:, ::-1], logits[:, :, ::-1], logits[:, 1:, 2:]):
        np.testing.assert_array_equal(argmax(layout), layout.argmax(0))
        np.testing.assert_array_equal(argmax(paddle.to_tensor(layout)).numpy(), layout.argmax(0))


def test_evaluating_restores_the_mode_of_each_layer() -> None:
    net = nn.Sequential(nn.Conv2D(3, 3, 1), nn.BatchNorm2D(3), nn.Sequential(nn.BatchNorm2D(3)))
    net.train()
    net[1].eval()  # a frozen layer
    with pytest.raises(RuntimeError), evaluating(net):
        assert not any(layer.training for layer in net.sublayers(include_self=True))
        assert net(paddle.ones([1, 3, 4, 4])).stop_gradient
        raise RuntimeError
    assert net.training and net[2][0].training and not net[1].training


class Greedy(nn.Layer):
    """Asks for more memory than any machine has."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [paddle.empty([1 << 45])]


@pytest.mark.parametrize(
    "count, settings, advice",
    [
        (4, {}, r"4 images of 200×100; try `batch_size` 2"),
        (1, {}, r"`is_slide` `crop_size` 96 32 `stride` 72 24 `window_batch` 1"),
        (1, {"is_slide": True, "crop_size": (128, 64), "stride": (64, 64), "window_batch": 8}, r"`window_batch` 4"),
        (1, {"is_slide": True, "crop_size": (128, 64), "stride": (64, 64), "window_batch": 1}, r"`crop_size` 64 32"),
    ],
)
def test_out_of_memory_says_what_to_try(count: int, settings: dict, advice: str) -> None:
    with pytest.raises(UserError, match=advice):
        Predictor(**settings).predict(Greedy(), paddle.zeros([count, 3, 100, 200]), [[]] * count)


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ZeroDivisionError):
        Predictor().predict(lambda x: 1 / 0, paddle.zeros([1, 3, 4, 4]), [[]])


@pytest.mark.skipif(paddle.get_device() != "cpu", reason="of a CPU")
@pytest.mark.parametrize(
    "settings, message",
    [
        ({"is_slide": True}, "`crop_size`: None"),
        ({"is_slide": True, "crop_size": [512, 512]}, "`stride`: None"),
        ({"is_slide": True, "crop_size": 512, "stride": [1, 1]}, "`crop_size`: 512"),
        ({"is_slide": True, "crop_size": [64, 64], "stride": [64, 65]}, r"`stride`: \[64, 65\] leaves gaps"),
        ({"is_slide": True, "crop_size": [64, 64], "stride": [64, 0]}, r"`stride`: \[64, 0\]"),
        ({"scales": []}, r"`scales`: \[\]"),
        ({"scales": [1.0, -1]}, "scales"),
        ({"precision": "fp8"}, "`precision`: 'fp8'.*fp32, fp16, bf16"),
        ({"precision": "bf16"}, "`precision`: bf16 needs a GPU"),
        ({"window_batch": 0}, "`window_batch`: 0"),
        ({"auc_roc": True}, "test_config.auc_roc: True"),
        ({"flip": True}, "test_config.flip: True .*flip_horizontal"),
    ],
)
def test_wrong_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_test_config(settings)


def test_a_test_config_is_passed_on() -> None:
    config = {"aug_eval": True, "scales": [0.5, 1], "auc_roc": False}
    assert read_test_config(config) == {"aug_eval": True, "scales": [0.5, 1]}
