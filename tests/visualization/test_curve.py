"""Curves of runs: short, long, interrupted, with outliers, with few classes and with many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from paddleseg_ext.visualization.class_curves import plot_classes
from paddleseg_ext.visualization.curve import BINS, broken, plot_history


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The charts that are written, not yet forgotten."""
    figures: list[Figure] = []
    write = Figure.savefig

    def keep(figure: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(figure)
        write(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def texts(figure: Figure) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    titles = [axes.get_title() for axes in figure.axes] + [axes.get_xlabel() for axes in figure.axes]
    labels = [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    return "\n".join([*found, *titles, *labels])


def training(iterations: range, losses: Any = 0.5, **more: Any) -> list[dict]:
    losses = np.broadcast_to(losses, len(iterations)).tolist()
    return [{"iter": i, "loss": loss, "lr": 0.01 * 0.9**i, **more} for i, loss in zip(iterations, losses)]


@pytest.mark.parametrize(
    "history, panels",
    [
        ([], 1),
        ([{"iter": 10, "loss": 2.0, "lr": 0.1}, {"iter": 20, "loss": float("nan")}, {"iter": 20, "miou": 0.25}], 3),
        ([{"iter": 20, "miou": None, "mask": 1.0}], 1),
        ([{"iter": 20, "loss": 0.0, "lr": "damaged"}], 1),
        ([{"iter": 20, "loss": -3.0}, {"iter": 20, "miou": 0.0, "val_loss": float("inf")}], 2),
    ],
)
def test_a_curve_is_a_picture(drawn: list, tmp_path: Path, history: list, panels: int) -> None:
    plot_history(history, tmp_path / "new" / "curve.png")
    with Image.open(tmp_path / "new" / "curve.png") as file:
        assert file.format == "PNG" and np.asarray(file.convert("L")).min() < 50
    assert len(drawn[0].axes) == panels


def test_scores_fill_their_axis_and_the_best_is_marked(drawn: list, tmp_path: Path) -> None:
    scores = [0.70, 0.73, 0.7412, 0.735]
    history = training(range(10, 410, 10)) + [{"iter": 100 * (i + 1), "miou": s} for i, s in enumerate(scores)]
    plot_history(history, tmp_path / "curve.png")
    top, losses, rate = drawn[0].axes
    assert "best 74.12 at 300" in texts(drawn[0])
    low, high = top.get_ylim()
    assert 68 < low < 70 and 74.12 < high < 77
    np.testing.assert_allclose(rate.lines[0].get_ydata(), [0.01 * 0.9**i for i in range(10, 410, 10)])


def test_the_best_is_that_of_the_metric_of_the_run(drawn: list, tmp_path: Path) -> None:
    history = [{"iter": 10, "miou": 0.5, "accuracy": 0.8}, {"iter": 20, "miou": 0.4, "accuracy": 0.9}]
    plot_history(history, tmp_path / "curve.png", metric="accuracy")
    assert "best 90.00 at 20" in texts(drawn[0]) and "validation mIoU" in texts(drawn[0])


def test_first_evaluations_far_below_leave_the_axis(drawn: list, tmp_path: Path) -> None:
    scores = [0.02, *np.linspace(0.7, 0.75, 30)]
    plot_history([{"iter": 10 * (i + 1), "miou": s} for i, s in enumerate(scores)], tmp_path / "curve.png")
    assert drawn[0].axes[0].get_ylim()[0] > 40


def test_outliers_leave_the_axis_and_are_counted(drawn: list, tmp_path: Path) -> None:
    losses = np.linspace(1.0, 0.4, 100)
    losses[[30, 60]] = 5e4, 1e6
    plot_history(training(range(100), losses), tmp_path / "curve.png")
    axes = drawn[0].axes[0]
    assert axes.get_yscale() == "linear" and 1.0 < axes.get_ylim()[1] < 1.2
    assert "2 beyond the axis, up to 1e+06" in texts(drawn[0])


def test_losses_of_a_huge_span_have_a_logarithmic_axis(drawn: list, tmp_path: Path) -> None:
    plot_history(training(range(100), np.geomspace(100, 0.01, 100)), tmp_path / "curve.png")
    axes = drawn[0].axes[0]
    assert axes.get_yscale() == "log" and axes.get_ylim()[1] > 100 and "beyond" not in texts(drawn[0])


def test_many_losses_are_a_median_in_a_band(drawn: list, tmp_path: Path) -> None:
    losses = 1 + np.random.default_rng(0).normal(0, 0.1, 8000)
    plot_history(training(range(10, 80010, 10), losses), tmp_path / "curve.png")
    axes = drawn[0].axes[0]
    middle = axes.lines[0].get_ydata()
    assert len(middle) == BINS and abs(middle - 1).max() < 0.1 and len(axes.collections) == 1
    (band,) = axes.collections[0].get_paths()
    assert abs(np.percentile(band.vertices[:, 1], [10, 90]) - [0.87, 1.13]).max() < 0.05
    assert "median" in texts(drawn[0])


def test_lines_are_broken_where_records_are_missing(drawn: list, tmp_path: Path) -> None:
    x, y = broken(np.array([10, 20, 30, 90, 100]), np.arange(5))
    np.testing.assert_array_equal(x, [10, 20, 30, np.nan, 90, 100])
    np.testing.assert_array_equal(y, [0, 1, 2, np.nan, 3, 4])
    assert all(len(values) == 0 for values in broken(np.empty(0), np.empty(0)))
    records = training(range(10, 110, 10)) + training(range(210, 310, 10))
    plot_history(records + [{"iter": i, "miou": 0.5} for i in (10, 20, 30, 210, 220)], tmp_path / "curve.png")
    assert all(np.isnan(axes.lines[0].get_ydata()).sum() == 1 for axes in drawn[0].axes)


def test_a_resume_is_marked(drawn: list, tmp_path: Path) -> None:
    history = training(range(10, 110, 10)) + training(range(110, 120, 10), resumed=95) + training(range(120, 200, 10))
    plot_history(history, tmp_path / "curve.png")
    assert all([95, 95] in [list(line.get_xdata()) for line in axes.lines] for axes in drawn[0].axes)
    assert "dotted: resumed" in texts(drawn[0])


def evaluations(scores: dict[str, list]) -> list[dict]:
    length = len(next(iter(scores.values())))
    return [
        {"iter": 100 * (i + 1), "classes": {name: {"iou": values[i]} for name, values in scores.items()}}
        for i in range(length)
    ]


def test_all_of_few_classes_are_drawn_in_their_colors_with_their_last_scores(drawn: list, tmp_path: Path) -> None:
    scores = {"road": [0.1, 0.9], "sky": [0.2, None], "absent": [None, None], "car": [0.2, 0.25]}
    palette = np.array([[128, 64, 128], [70, 130, 180], [1, 2, 3], [0, 0, 142]], np.uint8)
    plot_classes(evaluations(scores), tmp_path / "classes.png", palette)
    (axes,) = drawn[0].axes
    assert sorted(text.get_text() for text in axes.texts) == ["car 25.0", "road 90.0", "sky 20.0"]
    shown = [tuple(round(255 * part) for part in line.get_color()) for line in axes.lines]
    assert shown == [tuple(palette[i].tolist()) for i in (0, 1, 3)]


def test_a_palette_of_other_classes_is_left_out(drawn: list, tmp_path: Path) -> None:
    history = [*evaluations({"road": [0.5], "sky": [0.5]}), *evaluations({"car": [0.5]})]  # resumed with other classes
    plot_classes(history, tmp_path / "classes.png", np.zeros((1, 3), np.uint8))
    assert [line.get_color() for line in drawn[0].axes[0].lines] == ["C0", "C1", "C2"]


def test_names_keep_their_distance(drawn: list, tmp_path: Path) -> None:
    plot_classes(evaluations({f"class {i}": [0.5, 0.9 + 0.0001 * i] for i in range(19)}), tmp_path / "classes.png")
    drawn[0].canvas.draw()
    boxes = [Text.get_window_extent(text) for text in drawn[0].axes[0].texts]  # without the lines to them
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == 19 and all(below.y1 - above.y0 < 3 for below, above in zip(boxes, boxes[1:]))


def test_of_many_classes_the_highest_the_lowest_and_the_most_changed_are_named(drawn: list, tmp_path: Path) -> None:
    scores = {f"c{i}": [0.001 * i, 0.002 * i, 0.002 * i + 0.001 * (i % 7), 0.005 * i] for i in range(150)}
    scores["c70"] = [0.9, 0.9, 0.4, 0.3]
    plot_classes(evaluations(scores), tmp_path / "classes.png")
    high, low, changed = drawn[0].axes
    assert {text.get_text() for text in high.texts} == {f"c{i} {0.5 * i:.1f}" for i in range(140, 150)}
    assert {text.get_text() for text in low.texts} == {f"c{i} {0.5 * i:.1f}" for i in range(10)}
    assert "c70 30.0 (-60.0)" in [text.get_text() for text in changed.texts] and len(changed.texts) == 10
    assert changed.get_title() == "changed most since iteration 200"
    assert len(high.lines) == 160  # all in gray, ten in color


@pytest.mark.parametrize(("classes", "length"), [(0, 1), (1, 1), (24, 2), (25, 1)])
def test_charts_of_any_number_of_classes(drawn: list, tmp_path: Path, classes: int, length: int) -> None:
    history = evaluations({f"c{i}": [0.5] * length for i in range(classes)}) if classes else []
    plot_classes(history, tmp_path / "classes.png")
    assert len(drawn[0].axes) == (1 if classes < 25 else 1 + length)


def test_class_names_of_any_script(drawn: list, tmp_path: Path) -> None:
    plot_classes(evaluations({"天空": [0.5, 0.6], "$\\frac$": [0.1, 0.2]}), tmp_path / "classes.png")
    shown = texts(drawn[0])
    assert "天空 60.0" in shown or "class 0 60.0" in shown
