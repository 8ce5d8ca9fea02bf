"""`paddleseg-ext compare`: what it reads of runs, what it says of folders that are none, and the page in a browser."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddleseg_ext.cli.main import main
from paddleseg_ext.inspection.runs.reading import read_runs
from paddleseg_ext.inspection.runs.rows import class_rows, differences, score_rows
from paddleseg_ext.visualization.line_chart import line_chart
from tests.browser import Page, browser
from tests.tiny_run import write_config, write_samples

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
MIOUS = {"one": (0.3, 0.6, 0.5), "二号": (0.2, 0.4, 0.7), HOSTILE: (0.1, 0.2, 0.3)}


def write_run(folder: Path, mious: tuple[float, ...], **config: object) -> Path:
    """What a training of 30 iterations leaves, with an evaluation after each ten."""
    records = []
    for i in range(1, 31):
        seconds = {"seconds": 0.5 + i % 3, "reader_seconds": 0.1, "samples_per_second": 4.0, "memory_gib": 1 + i / 100}
        records.append({"iter": i, "epoch": 1, "loss": 100 if i == 3 else 2 / i, "lr": 0.1, **seconds})
        if i % 10 == 0:
            miou = mious[i // 10 - 1]
            classes = {
                "路": {"iou": miou},
                f"car {HOSTILE}": {"iou": 0.5},
                "sky": {"iou": 1 - miou},
                "none": {"iou": None},
            }
            records.append({"iter": i, "miou": miou, "accuracy": miou + 0.1, "val_loss": None, "classes": classes})
    best = folder / "best_model"
    best.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    head = {"type": "PSPHead", "channels": 64, **config}
    text = json.dumps({"batch_size": 2, "model": {"decode_head": head, "names": ["a", {"b": HOSTILE}]}})
    (best / "config.yml").write_text(text, "utf-8")  # JSON is YAML
    (best / "model.pdparams").write_bytes(b"weights")
    (best / "best.json").write_text('{"iteration": 20}', "utf-8")
    (folder / "train.log").write_text("==== today\npaddleseg-ext train\nPaddle 3\n12:00:00 said\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    channels = iter((64, 64, 128))
    return [write_run(root / name, mious, channels=next(channels)) for name, mious in MIOUS.items()]


def rows_of(rows: list) -> dict[str, list[str]]:
    return {row.title: [text + "*" * (i in row.best) for i, text in enumerate(row.shown)] for row in rows}


def test_scores_classes_and_differences(folders: list[Path]) -> None:
    runs = read_runs(folders)
    assert [run.name for run in runs] == list(MIOUS)
    scores = rows_of(score_rows(runs))
    assert scores["best mIoU"] == ["60.00", "70.00*", "30.00"] and scores["… at iteration"] == ["20", "30", "30"]
    assert scores["last mIoU"] == ["50.00", "70.00*", "30.00"] and scores["… accuracy"] == ["70.00", "80.00*", "40.00"]
    assert scores["s per iteration (median)"] == ["1.5"] * 3 and scores["memory at most, GiB"] == ["1.30"] * 3
    assert "mean boundary IoU" not in " ".join(scores)
    classes = rows_of(class_rows(runs))
    assert classes["路"] == ["60.00", "70.00*", "30.00"] and classes["sky"] == ["40.00", "30.00", "70.00*"]
    assert "none" not in classes
    assert differences(runs) == [("model.decode_head.channels", ["64", "64", "128"])]
    assert runs[0].facts["command"] == "paddleseg-ext train" and ", iteration 20" in runs[0].facts["weights"]


def test_a_training_and_its_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """As a user would: train twice, evaluate one of them, put all three side by side."""
    config = ["--config", str(write_config(write_samples(tmp_path))), "--device", "cpu"]
    flags = ["--iters", "4", "--do_eval", "--save_interval", "2", "--log_iters", "1", "--seed"]
    for seed in "12":
        assert main(["train", *config, *flags, seed, "--save_dir", str(tmp_path / f"seed{seed}")]) == 0
    best = ["--model_path", str(tmp_path / "seed1" / "best_model"), "--boundary"]
    assert main(["val", *config, *best, "--json", str(tmp_path / "result.json")]) == 0
    capsys.readouterr()
    places = [str(tmp_path / name) for name in ("seed1", "seed2", "result.json")]
    assert main(["compare", *places, "--page", str(tmp_path / "new" / "page.html")]) == 0
    out = capsys.readouterr().out
    assert "seed1" in out and "best mIoU" in out and f"page: {tmp_path / 'new' / 'page.html'}" in out
    runs = read_runs(places)
    assert runs[0].best["miou"] == pytest.approx(runs[2].best["miou"]) and runs[2].best["iter"] == runs[0].best["iter"]
    found = dict(differences(runs))
    assert found["train.seed"] == ["1", "2", "None"] and found["iters"] == ["4", "4", "20"]
    assert "model.type" not in found
    text = (tmp_path / "new" / "page.html").read_text("utf-8")
    assert runs[0].facts["weights"].split("sha256 ")[1][:64] in text and "mean boundary IoU" in text


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "there is no such folder or file; name the save_dir of a training, or a file that"),
        ({}, "this folder is no run, it has no metrics.jsonl; name the save_dir"),
        ({"metrics.jsonl": ""}, "metrics.jsonl: it is empty; the run has told nothing yet"),
        ({"metrics.jsonl": "a\nb\n"}, "metrics.jsonl: it holds no records"),
        ("", "it is no JSON file"),
        ("[" * 100000, "it is no JSON file"),
        ("[1]", "it is not the result of an evaluation"),
        ('{"miou": 1, "classes": 3}', "it is not the result of an evaluation"),
    ],
)
def test_what_is_no_run_is_told(tmp_path: Path, content: object, sentence: str, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "place"
    if isinstance(content, str):
        path.write_text(content, "utf-8")
    elif content is not None:
        path.mkdir()
        for name, text in content.items():
            (path / name).write_text(text, "utf-8")
    assert main(["compare", str(path), "--page", str(tmp_path / "page.html")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {path}") and sentence in err and "Traceback" not in err
    assert not (tmp_path / "page.html").exists()


def test_damaged_lines_are_left_out_and_told_and_nothing_is_touched(tmp_path: Path, capsys) -> None:
    folder = write_run(tmp_path / "run", (0.1, 0.2, 0.3))
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text("utf-8").splitlines()
    odd = {"iter": 30, "miou": 0.9, "accuracy": "high", "classes": [1]}  # nearly a record
    metrics.write_text("\n".join([lines[0], "garbage", *lines[1:], json.dumps(odd), '{"cut']), "utf-8")
    (folder / "best_model" / "config.yml").write_text("a: [", "utf-8")
    before = sorted(path.name for path in folder.iterdir())
    assert main(["compare", str(folder), "--page", str(tmp_path / "page.html")]) == 0
    out = capsys.readouterr().out
    assert "warning: run: metrics.jsonl: not a record in line 2, 35, 36; left out" in out
    assert "config.yml is not valid YAML" in out
    assert sorted(path.name for path in folder.iterdir()) == before
    assert main(["compare", str(folder), str(folder / ".." / "run")]) == 2
    assert "is given twice" in capsys.readouterr().err


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / parent / "run", (0.1, 0.2, 0.3)) for parent in ("a", "b")]
    assert [run.name for run in read_runs(paths)] == ["a/run", "b/run"]


def test_an_axis_ends_below_outliers_and_long_lines_are_thinned() -> None:
    points = [(i, 100.0 if i == 5 else 1 + math.sin(i)) for i in range(5000)]
    chart = line_chart("loss", {0: points, 3: []}, robust=True)
    assert chart.cut and float(chart.y_ticks[-1][1]) <= 3 and [line.run for line in chart.lines] == [0]
    assert len(chart.lines[0].points.split()) == 800 and not chart.lines[0].dots
    assert not line_chart("loss", {0: points}).cut and line_chart("loss", {0: []}) is None
    flat = line_chart("lr", {0: [(1, 0.1)]})
    assert all(math.isfinite(float(part)) for part in flat.lines[0].points.split(","))
    assert [text for _, _, text in flat.lines[0].dots] == ["0.1 at 1"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(shared: Page, folders: list[Path], tmp_path: Path) -> Iterator[Page]:
    assert main(["compare", *map(str, folders), "--page", str(tmp_path / "page.html")]) == 0
    shared.scheme("light")
    yield shared.open(tmp_path / "page.html")
    shared.check()


def test_a_run_that_is_switched_off_disappears(page: Page) -> None:
    def shown() -> list[bool]:
        return page.run("return [...document.querySelectorAll('svg polyline')].map(l => l.getClientRects().length > 0)")

    assert shown() == [True] * 3 * 3  # loss, mIoU and learning rate; no evaluation has a loss
    assert page.texts("#scores ~ .scroll thead th")[1:4] == list(MIOUS)
    box = page.all("input[data-run='1']")[0]
    box.click()
    assert shown() == [True, False, True] * 3
    assert page.texts("#scores ~ .scroll thead th")[1:4] == ["one", "", HOSTILE]
    box.click()
    assert all(shown())
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")


def test_classes_sort_by_a_run_and_the_best_is_marked(page: Page) -> None:
    table = "#classes ~ .scroll table.sortable"
    assert page.texts(f"{table} tbody tr:first-child td.best") == ["70.00\n(best)"]
    page.all(f"{table} thead button")[1].click()
    assert page.texts(f"{table} tbody th") == ["路", f"car {HOSTILE}", "sky"]
    page.all(f"{table} thead button")[1].click()
    assert page.texts(f"{table} tbody th") == ["sky", f"car {HOSTILE}", "路"]


def test_names_run_no_script_in_light_or_dark(page: Page, tmp_path: Path) -> None:
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.screenshot(tmp_path / f"{scheme}.png")
    assert HOSTILE in page.driver.title and not page.all("img, [onerror]")
    colors = page.run("return [...document.querySelectorAll('svg polyline')].map(l => getComputedStyle(l).stroke)")
    assert len(set(colors)) == 3
    assert page.texts("#differences ~ .scroll tbody th")[0] == "model.decode_head.channels"
