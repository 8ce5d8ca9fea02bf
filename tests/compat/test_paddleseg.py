"""Repairs are found, applied once and kept to the fault; PaddleSeg's metrics and loops work with them."""

from __future__ import annotations

import importlib
import inspect
import json
import linecache
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Callable

import cv2
import numpy as np
import paddle
import paddleseg
import pytest
from paddleseg.models import losses as L
from paddleseg.models.decoupled_segnet import SqueezeBodyEdge
from paddleseg.models.pointrend import PointHead
from paddleseg.models.sfnet import AlignedModule as SFNetAlign
from paddleseg.transforms import Normalize
from paddleseg.utils import metrics

from paddleseg_ext.compat import paddleseg as compat
from paddleseg_ext.compat.correct import correct

REPAIRS = [*compat.VERSION_REPAIRS, *compat.UPSTREAM_REPAIRS, *compat.BACKBONE_REPAIRS]


def test_a_second_repair_does_nothing() -> None:
    before = list(compat.applied)
    assert compat.repair() == []
    assert compat.applied == before


def test_applied_names_the_repairs_in_order() -> None:
    assert compat.applied == [fix.__name__ for fix in REPAIRS if fix.__name__ in compat.applied]
    assert set(compat.applied) >= {fix.__name__ for fix in compat.UPSTREAM_REPAIRS}


@pytest.mark.parametrize("fix", REPAIRS, ids=lambda fix: fix.__name__)
def test_each_repair_names_the_versions(fix: Callable[[], bool]) -> None:
    assert any(version in inspect.getdoc(fix) for version in ("Paddle ≥ ", "Paddle 2.x", "Any Paddle"))


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of PaddleSeg with one fault in a function and one in a method."""
    source = (
        "SCALE = 2\n\n"
        "def double(x, times=SCALE):\n"
        "    '''Doc.'''\n"
        "    return x * tims\n\n"
        "class Loss:\n"
        "    def forward(self, x):\n"
        "        x = x + SCALE\n"
        "        return x[0]\n"
    )
    (tmp_path / "faulty.py").write_text(source)
    monkeypatch.setattr(paddleseg, "__path__", [*paddleseg.__path__, str(tmp_path)])
    module = importlib.import_module("paddleseg.faulty")
    yield module
    del sys.modules["paddleseg.faulty"]


def test_correct_mends_the_function_itself(faulty: ModuleType) -> None:
    imported_before, loss = faulty.double, faulty.Loss()
    assert correct("faulty:double", {"x * tims": "x * times"})
    assert correct("faulty:Loss.forward", {"return x[0]": "return x"})
    assert faulty.double is imported_before
    assert (imported_before(4), imported_before(4, times=3), imported_before.__doc__) == (8, 12, "Doc.")
    assert loss.forward(1) == 3
    assert not correct("faulty:double", {"x * tims": "x * times"})


def test_correct_leaves_sound_code_alone(faulty: ModuleType) -> None:
    code = faulty.double.__code__
    assert not correct("faulty:double", {"return x[0]": "return x"})  # the method's fault, not the function's
    assert faulty.double.__code__ is code


def test_a_traceback_shows_the_corrected_line(faulty: ModuleType) -> None:
    correct("faulty:double", {"x * tims": "x * times / 0"})
    with pytest.raises(ZeroDivisionError) as error:
        faulty.double(1)
    last = traceback.extract_tb(error.value.__traceback__)[-1]
    assert (last.line, last.name) == ("return x * times / 0", "double")
    assert "paddleseg.faulty.double" in last.filename
    linecache.checkcache()
    assert "times / 0" in inspect.getsource(faulty.double)


def _areas(pred: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    valid = label != 255
    return np.array(
        [[((pred == c) & (label == c)).sum(), ((pred == c) & valid).sum(), (label == c).sum()] for c in range(classes)]
    ).T


@pytest.mark.parametrize("axis", [None, 1], ids=["3d", "4d"])
def test_areas_and_what_follows_from_them(axis: int | None) -> None:
    rng = np.random.RandomState(0)
    pred, label = rng.randint(0, 4, (2, 2, 9, 11))
    label[:, :3] = 255
    expected = _areas(pred, label, 4)
    arrays = [x if axis is None else x[:, None] for x in (pred.astype("int32"), label.astype("int64"))]
    areas = metrics.calculate_area(*map(paddle.to_tensor, arrays), 4)
    np.testing.assert_array_equal([a.numpy() for a in areas], expected)

    both, predicted, true = expected.astype(float)
    iou, miou = metrics.mean_iou(*areas)
    np.testing.assert_allclose(iou, both / (predicted + true - both))
    assert miou == pytest.approx(iou.mean())
    np.testing.assert_allclose(metrics.dice(*areas)[0], 2 * both / (predicted + true))
    accuracy, precision, recall = metrics.class_measurement(*areas)
    assert accuracy == pytest.approx(both.sum() / predicted.sum())
    np.testing.assert_allclose(precision, both / predicted)
    np.testing.assert_allclose(recall, both / true)
    chance = (predicted * true).sum() / true.sum() ** 2
    assert metrics.kappa(*areas) == pytest.approx((accuracy - chance) / (1 - chance))


class Squares(paddle.io.Dataset):
    """Bright squares (class 1) on a dark ground (class 0), a border that is ignored; on disk, as PaddleSeg wants it."""

    num_classes, ignore_index = 2, 255

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.paths = [str(folder / f"{i}.png") for i in range(count)]
        for i, path in enumerate(self.paths):
            picture = np.full((48, 64, 3), 30, "uint8")
            picture[10 : 30 + i, 10 + i : 40] = 220
            cv2.imwrite(path, picture)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> dict:
        picture = cv2.imread(self.paths[i]).astype("float32")
        label = (picture[:, :, 0] > 100).astype("int64")
        label[:4] = self.ignore_index
        return {"img": (picture / 127.5 - 1).transpose(2, 0, 1), "label": label[None], "trans_info": []}


class Training(Squares):
    def __getitem__(self, i: int) -> dict:
        item = super().__getitem__(i)
        return {"img": item["img"], "label": item["label"][0]}


def _losses(count: int) -> dict:
    mixed = L.MixedLoss([L.DiceLoss(), L.CrossEntropyLoss(), L.LovaszSoftmaxLoss()], [0.3, 1.0, 0.3])
    return {"types": [mixed] + [L.OhemCrossEntropyLoss(min_kept=50)] * (count - 1), "coef": [1.0] * count}


def test_a_stock_model_trains_evaluates_and_predicts(tmp_path: Path) -> None:
    """PaddleSeg's own loops over its own BiSeNet, by the names that users know."""
    model = paddleseg.models.BiSeNetV2(2, lambd=0.05)
    optimizer = paddle.optimizer.Momentum(0.01, parameters=model.parameters())
    before = [p.numpy().copy() for p in model.parameters()]
    data, saved = Training(tmp_path), tmp_path / "output"
    validation = Squares(tmp_path)
    paddleseg.core.train(
        model, data, val_dataset=validation, optimizer=optimizer, save_dir=str(saved), iters=4, batch_size=2,
        save_interval=2, log_iters=1, losses=_losses(5), keep_checkpoint_max=1,
    )  # fmt: skip
    assert any((p.numpy() != b).any() for p, b in zip(model.parameters(), before))
    assert {p.name for p in saved.iterdir()} == {"iter_4", "best_model"}

    miou, accuracy, iou, _, _ = paddleseg.core.evaluate(model, validation, print_detail=False)
    with paddle.no_grad():
        items = [validation[i] for i in range(len(validation))]
        preds = [model(paddle.to_tensor(item["img"][None]))[0].argmax(1).numpy() for item in items]
    both, predicted, true = _areas(np.concatenate(preds), np.concatenate([i["label"] for i in items]), 2)
    union = predicted + true - both
    np.testing.assert_allclose(iou, both / np.maximum(union, 1))
    assert miou == pytest.approx(iou.mean()) and accuracy == pytest.approx(both.sum() / predicted.sum())

    transforms = paddleseg.transforms.Compose([Normalize()])
    paddleseg.core.predict(
        model,
        str(saved / "iter_4" / "model.pdparams"),
        transforms,
        validation.paths[:2],
        save_dir=str(tmp_path / "out"),
    )
    for path in validation.paths[:2]:
        assert cv2.imread(str(tmp_path / "out" / "pseudo_color_prediction" / Path(path).name)).shape == (48, 64, 3)


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "goes on"])
def test_training_is_profiled(ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Iterations 2, 3 and 4 are; the process ends after them unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    profiler = importlib.import_module("paddleseg.utils.train_profiler")
    monkeypatch.setattr(profiler, "_profiler_step_id", 0)
    monkeypatch.setattr(profiler, "_profiler_options", None)
    model = paddle.nn.Sequential(paddle.nn.Conv2D(3, 2, 1))
    monkeypatch.setattr(model, "forward", lambda x: [model[0](x)])
    path = tmp_path / "profile.json"
    options = f"batch_range=[1,4]; sorted_key=calls; profile_path={path}; exit_on_finished={ends}; timer_only=False"
    ended = pytest.raises(SystemExit, match="0") if ends else nullcontext()
    with ended:
        paddleseg.core.train(
            model, Training(tmp_path), optimizer=paddle.optimizer.Momentum(0.01, parameters=model.parameters()),
            save_dir=str(tmp_path / "output"), iters=6, batch_size=2, log_iters=1, save_interval=6,
            losses={"types": [L.CrossEntropyLoss()], "coef": [1.0]}, profiler_options=options,
        )  # fmt: skip
    traces = [path] if "train_profiler" in compat.applied else list((tmp_path / "profiler_log").iterdir())
    events = json.loads(traces[0].read_text())["traceEvents"]
    convolutions = [e for e in events if e.get("name", "").startswith("conv2d dygraph")]
    assert len(convolutions) == 3
    assert (tmp_path / "output" / "iter_6").exists() is not ends


FLIP = {"aug_eval": True, "scales": [0.75, 1.0], "flip_horizontal": True}
SLIDE = {"is_slide": True, "crop_size": (32, 32), "stride": (24, 24)}


@pytest.mark.parametrize("options", [FLIP, SLIDE], ids=["flip", "slide"])
def test_evaluate_with(options: dict, tmp_path: Path) -> None:
    """A network that finds the squares by their brightness is right, however it is evaluated."""

    class Bright(paddle.nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [paddle.concat([-x[:, :1], x[:, :1]], axis=1)]

    miou, accuracy, *_ = paddleseg.core.evaluate(Bright(), Squares(tmp_path, 2), print_detail=False, **options)
    assert miou > 0.9 and accuracy > 0.95


@pytest.mark.parametrize("layer", [SFNetAlign(4, 4), SqueezeBodyEdge(4)], ids=["SFNet", "DecoupledSegNet"])
def test_flow_warp_shifts_by_the_flow(layer: paddle.nn.Layer) -> None:
    """The flow is counted in pixels of a grid on which the picture is 2 wide and high."""
    picture = paddle.rand([2, 4, 6, 9])
    flow = paddle.zeros([2, 2, 6, 9])
    flow[:, 0] = 9 * 2 / (9 - 1)  # one pixel to the right
    shifted = layer.flow_warp(picture, flow, paddle.shape(picture)[2:])
    np.testing.assert_allclose(shifted.numpy()[..., :-1], picture.numpy()[..., 1:], atol=1e-5)


def test_point_rend_refines_the_most_uncertain_points() -> None:
    head = PointHead(num_classes=2, subdivision_num_points=3)
    uncertainty = paddle.zeros([1, 1, 4, 5])
    uncertainty[0, 0, 0, 1], uncertainty[0, 0, 3, 4], uncertainty[0, 0, 2, 0] = 3.0, 2.0, 1.0
    indices, points = head.get_points_test(uncertainty, lambda logits: logits)
    assert indices.tolist() == [[1, 19, 10]]
    np.testing.assert_allclose(points.numpy()[0], [[0.3, 0.125], [0.9, 0.875], [0.1, 0.625]], atol=1e-6)
