"""What the finished trainings gave: mIoU with spread beside PaddleSeg's, IoU of the classes, curves."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from benchmarks.camvid.runs import NETWORKS, SIDES, Run  # noqa: E402
from benchmarks.camvid.train import RESULT, read_records  # noqa: E402
from benchmarks.tables import Row, write_table  # noqa: E402

COLORS = {"ours": "tab:blue", "paddleseg": "tab:orange"}


def result_of(run: Run, output: Path) -> dict[str, Any] | None:
    """What `train` wrote down, or None where the training is not finished."""
    path = output / "results" / run.name / RESULT
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def status(runs: Iterable[Run], output: Path) -> list[str]:
    """A line for each training: done and its mIoU, how far it is, or waiting."""
    lines = []
    for run in runs:
        result = result_of(run, output)
        if result is not None:
            lines.append(f"{run.name:<40} done     mIoU {100 * result['best']['miou']:.2f}")
            continue
        records = read_records(output / "runs" / run.name / "metrics.jsonl")
        scores = [100 * record["miou"] for record in records if "miou" in record]
        best = f", mIoU so far {max(scores):.2f}" if scores else ""
        lines.append(f"{run.name:<40} " + (f"at iteration {records[-1]['iter']}{best}" if records else "waiting"))
    return lines


def write(runs: Sequence[Run], output: Path) -> None:
    """Write ``table``, ``classes`` (Markdown and CSV), ``runs.csv`` and ``curves.png`` of what is finished."""
    finished = [(run, result) for run in runs if (result := result_of(run, output)) is not None]
    if not finished:
        return
    folder = output / "results"
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for run, result in finished:
        groups.setdefault((run.size, run.network, run.side), []).append(result)
    write_table(folder, "table", [_row(*key, results) for key, results in groups.items()])
    write_table(folder, "classes", [_class_row(*key, results) for key, results in groups.items()])
    with open(folder / "runs.csv", "w", newline="", encoding="utf-8") as file:
        rows = [_run_row(run, result) for run, result in finished]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _draw([run for run, _ in finished if not run.full], output, folder / "curves.png")


def write_ablation(runs: Sequence[Run], output: Path) -> None:
    """Write ``ablation`` (Markdown and CSV): each variant with a finished seed beside the same seeds without it."""
    rows = []
    for network, variant in dict.fromkeys((run.network, run.variant) for run in runs):
        pairs = [
            (100 * with_it["best"]["miou"], 100 * without["best"]["miou"])
            for run in runs
            if (run.network, run.variant) == (network, variant)
            and (with_it := result_of(run, output)) is not None
            and (without := result_of(replace(run, variant=""), output)) is not None
        ]
        if pairs:
            rows.append(_ablation_row(network, variant, pairs))
    if rows:
        write_table(output / "results", "ablation", rows)


def _ablation_row(network: str, variant: str, pairs: Sequence[tuple[float, float]]) -> Row:
    changed, unchanged = zip(*pairs)
    differences = [a - b for a, b in pairs]
    return {
        "network": network,
        "variant": variant.replace("_", " "),
        "seeds": len(pairs),
        "mIoU": f"{statistics.mean(changed):.2f}",
        "without": f"{statistics.mean(unchanged):.2f}",
        "difference": f"{statistics.mean(differences):+.2f}",
        "each seed's": " ".join(f"{difference:+.2f}" for difference in differences),
    }


def _row(size: str, network: str, side: str, results: Sequence[dict[str, Any]]) -> Row:
    best = [100 * result["best"]["miou"] for result in results]
    return {
        "size": size,
        "network": network,
        "side": side,
        "seeds": len(results),
        "mIoU": f"{statistics.mean(best):.2f}",
        "spread": f"{max(best) - min(best):.2f}" if len(best) > 1 else "-",
        "mIoU of the last": f"{statistics.mean(100 * result['last']['miou'] for result in results):.2f}",
        "accuracy": f"{statistics.mean(100 * result['best']['accuracy'] for result in results):.2f}",
        "s/iteration": f"{min(result['seconds_per_iteration'] for result in results):.2f}",
        "threads": "/".join(sorted({result["threads"] for result in results})),
        "peak GiB": f"{max(result['peak_memory_gib'] for result in results):.2f}",
        "device": "; ".join(sorted({result["device"] for result in results})),  # of which times depend
    }


def _class_row(size: str, network: str, side: str, results: Sequence[dict[str, Any]]) -> Row:
    names = list(results[0]["class_iou"])
    means = {name: statistics.mean(100 * (result["class_iou"][name] or 0) for result in results) for name in names}
    return {"size": size, "network": network, "side": side, **{name: f"{value:.1f}" for name, value in means.items()}}


def _run_row(run: Run, result: dict[str, Any]) -> Row:
    return {
        **{"size": run.size, "network": run.network, "side": run.side, "seed": run.seed},
        **{"best_miou": result["best"]["miou"], "best_iteration": result["best"]["iter"]},
        **{"last_miou": result["last"]["miou"], "seconds_per_iteration": result["seconds_per_iteration"]},
        **{"peak_memory_gib": result["peak_memory_gib"], "device": result["device"]},
    }


def _draw(runs: Sequence[Run], output: Path, path: Path) -> None:
    """mIoU over the iterations, a panel for each network, a line for each training."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharex=True, sharey=True)
    for axis, network in zip(axes.flat, NETWORKS):
        for run in (run for run in runs if run.network == network):
            records = read_records(output / "results" / run.name / "metrics.jsonl")
            points = [(record["iter"], 100 * record["miou"]) for record in records if "miou" in record]
            axis.plot(*zip(*points), color=COLORS[run.side], linewidth=1)
        axis.set_title(network, fontsize=9)
        axis.grid(alpha=0.3)
    handles = [Line2D([], [], color=COLORS[side], label=side) for side in SIDES]
    figure.legend(handles=handles, loc="upper right", fontsize=8)
    figure.supxlabel("iteration")
    figure.supylabel("mIoU on val")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def best_head(runs: Iterable[Run], output: Path) -> str | None:
    """Our network of the highest mean mIoU, once every training is finished; None before."""
    scores: dict[str, list[float]] = {}
    for run in runs:
        result = result_of(run, output)
        if result is None:
            return None
        if run.side == "ours":
            scores.setdefault(run.network, []).append(result["best"]["miou"])
    return max(scores, key=lambda network: statistics.mean(scores[network]))
