"""README's table of speeds is what the committed results say, and of them the newest."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import summary
from benchmarks.clone import ROOT
from benchmarks.tables import RESULTS


@pytest.mark.parametrize(("name", "words"), summary.PAGES.items())
def test_pages_have_the_table_of_the_committed_results(name: str, words: summary.Words) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert summary.written(text, summary.block(RESULTS, ROOT / name, words)) == text


def write(folder: Path, subject: str, rows: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{subject}.md").write_text("# heads\n\n- device: Some CPU, 4 cores\n", "utf-8")
    with open(folder / f"{subject}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rows(speedup: float, size: str, case: str = "PSPHead", **more: object) -> list[dict[str, object]]:
    modes = enumerate(("evaluation", "training"))
    return [{"case": case, "mode": mode, "batch": 2, size: "4x8", "speedup": speedup + n, **more} for n, mode in modes]


def test_the_newest_of_each_number_of_threads_counts(tmp_path: Path) -> None:
    for date, threads, speedup in [("2026-01-02", 1, 2.0), ("2026-01-01", 1, 9.0), ("2025-12-31", 4, 3.0)]:
        folder = tmp_path / "results" / f"{date}_some-cpu_4-cores_{threads}-thread{'s' * (threads > 1)}"
        write(
            folder, "heads", rows(speedup, "map", pytorch_speedup=1.5) + rows(50, "map", "Encoding", pytorch_speedup="")
        )
        network = rows(7, "image", backbone="B") + rows(8, "image", "geometric mean of 2 heads", backbone="B")
        write(folder, "model", network)
    write(tmp_path / "results" / "2027-01-01_estimate", "heads", rows(99, "map"))
    made = summary.block(tmp_path / "results", tmp_path / "README.md", summary.ENGLISH).splitlines()
    head, _, *lines = [line.strip("| ").split(" | ") for line in made if line.startswith("|")]
    assert head[1:] == ["PaddleSeg, 1 thread", "PaddleSeg, 4 threads", "PyTorch, 1 thread", "PyTorch, 4 threads"]
    assert lines == [
        ["PSPHead, 4×8", "3.00, 2.00", "4.00, 3.00", "1.50, 1.50", "1.50, 1.50"],
        ["geometric mean of 2 networks on B, 4×8", "9.00, 8.00", "9.00, 8.00", "–", "–"],
    ]
    assert "(results/2026-01-02_some-cpu_4-cores_1-thread/heads.md)" in made[-1] and "2026-01-01" not in made[-1]
    assert "measured on Some CPU, 4 cores;" in made[-1]


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!--"):
        summary.written("text", "table")
    page = f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n"
    assert summary.written(page, "new") == f"before\n{summary.BEGIN}\nnew\n{summary.END}\nafter\n"
