"""`benchmark heads --estimate` adds up what operators compute and move; what a GPU makes of it is not tested."""

from __future__ import annotations

import csv
from pathlib import Path

import paddle
import pytest

from benchmarks import estimate, heads, networks
from benchmarks.amp_emulator import Operation, emulated
from paddleseg_ext.cli.main import main
from paddleseg_ext.inspection.analysis.operations import count_macs
from paddleseg_ext.layers import functional

CARD = estimate.Card(half=1e12, tf32=5e11, float32=1e11, bandwidth=1e9, launch=1e-5)
HALF, SINGLE = paddle.bfloat16, paddle.float32


@pytest.mark.parametrize(
    "operation, bf16, tf32",
    [
        (Operation("relu", HALF, 100), 1e-5, 1e-5),  # launch
        (Operation("relu", HALF, 40_000), 4e-5, 8e-5),  # bytes, twice as many in float32
        (Operation("exp", SINGLE, 40_000, [60_000, 6]), 4e-5 + 6e-5 + 1e-5, 4e-5),  # casts one by one
        (Operation("cast", HALF, 0, [60_000]), 6e-5, 0),
        (Operation("conv2d", HALF, 100, macs=10**9), 2e-3, 4e-3),  # products
        (Operation("matmul", SINGLE, 100, macs=10**9), 4e-3, 4e-3),
        (Operation("matmul", SINGLE, 100, macs=10**9, exact=True), 2e-2, 2e-2),
        (Operation("matmul", HALF, 100, macs=10**9, exact=True), 2e-3, 2e-2),  # exactness concerns float32 alone
        (Operation("depthwise_conv2d", HALF, 100, macs=10**9), 2e-2, 2e-2),  # no tensor cores
    ],
)
def test_an_operation_takes_the_longest_of_its_bounds(operation: Operation, bf16: float, tf32: float) -> None:
    for precision, expected in (("bf16", bf16), ("tf32", tf32)):
        found = estimate.bound([operation, operation], CARD, precision)
        assert found.seconds == pytest.approx(2 * expected)
        assert found.flop == 4 * operation.macs
        casts = operation.casts if precision == "bf16" else []
        assert found.cast_bytes == 2 * sum(casts)
        assert found.launches == 2 * (len(casts) + (operation.name != "cast"))


def test_products_are_those_that_are_counted_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functional, "KERNELS", {})  # which compute some with fewer
    name, size = "MultiScaleDynamicConv", (8, 12)
    recorded = estimate.record(name, size, 2)
    *nets, channels = networks.layers(name)
    for net, operations in zip(nets, recorded):
        with paddle.no_grad(), count_macs() as counts:
            net(paddle.zeros([2, channels, *size]))
        assert [operation.macs for operation in operations if operation.macs] == counts


@pytest.mark.skipif(not hasattr(paddle.base.core, "set_cublas_switch"), reason="Paddle 2.6 has no switch on a CPU")
def test_energies_are_exact_products_in_float32() -> None:
    ours, theirs = estimate.record("CCHead", (4, 6), 1)
    exact = [operation.dtype for operation in ours if operation.exact]
    assert exact.count(SINGLE) == exact.count(HALF) == 6  # two passes of three products each
    assert {operation.name for operation in ours} >= {"conv2d", "batch_norm", "exp", "cast", "bilinear_interp"}
    assert not [operation for operation in theirs if operation.exact]


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.SPECS)
def test_no_head_is_slower_than_its_counterpart_in_bf16(name: str) -> None:
    rows = list(estimate.rows([name], (64, 128), estimate.BATCH, list(estimate.CARDS)))
    ratios = {row["card"]: row["ratio"] for row in rows if row["precision"] == "bf16"}
    assert set(ratios) == set(estimate.CARDS) and min(ratios.values()) > 1


def test_white_lists_come_before_the_rule_of_norms() -> None:
    norm, x = paddle.nn.BatchNorm2D(3), paddle.ones([1, 3, 2, 2])
    with emulated() as emulator, paddle.no_grad():
        for names in (None, heads.PADDLESEGS):
            with paddle.amp.auto_cast(custom_white_list=names, dtype="bfloat16"):
                norm(x)
    assert [operation.dtype for operation in emulator.log] == [SINGLE, HALF]
    assert [operation.casts for operation in emulator.log] == [[], [6 * 12]]


def test_a_table_that_says_what_it_is(tmp_path: Path) -> None:
    options = ["--names", "Encoding", "--maps", "4x8", "--estimate", "a100", "h100", "--output", str(tmp_path)]
    assert main(["heads", *options], command="benchmark") == 0
    assert "**ESTIMATE" in (tmp_path / "heads.md").read_text("utf-8")
    with open(tmp_path / "heads.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["card"], row["precision"]) for row in rows] == [
        (card, precision) for card in ("a100", "h100") for precision in ("bf16", "tf32")
    ]
    for row in rows:
        assert (row["case"], row["kind"], row["batch"], row["map"]) == ("Encoding", "ESTIMATE", "2", "4x8")
        assert float(row["ours_forward_ms"]) > 0 and 0.2 < float(row["ratio"]) < 100
    assert float(rows[0]["ours_cast_mib"]) > 0 == float(rows[1]["ours_cast_mib"])


def test_unknown_cards_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["heads", "--estimate", "b200", "--output", str(tmp_path)], command="benchmark") == 2
    assert capsys.readouterr().err == "error: --estimate b200: figures are known of a100 and h100\n"
    assert not list(tmp_path.iterdir())
