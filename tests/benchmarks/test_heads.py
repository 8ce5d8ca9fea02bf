"""What the comparison with PaddleSeg's networks rests on; memory on a CPU is exact, so it is held here."""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import pytest

from benchmarks import heads
from benchmarks.networks import LAYERS, SPECS, feature_maps, layers
from benchmarks.peers import even, side_by_side, with_means
from benchmarks.steps import TOLERANCE
from paddleseg_ext.inspection.analysis.memory import MIB, peak_allocation
from paddleseg_ext.inspection.analysis.timing import Timing

needs_reset = pytest.mark.skipif(
    not hasattr(paddle.base.core, "host_memory_stat_reset_peak_value"), reason="Paddle < 3.0 cannot reset the peak"
)


@needs_reset
@pytest.mark.parametrize("name", ["PSPHead", *LAYERS])  # the importers' tests compare the other heads
def test_both_sides_compute_the_same(name: str) -> None:
    compare = heads.compare_layer if name in LAYERS else heads.compare
    results = list(compare(name, (4, 8), 2, rounds=1))
    assert [result.mode for result in results] == ["evaluation", "training"]
    for result in results:
        assert result.difference <= TOLERANCE
        assert result.row()["speedup"] > 0


@needs_reset
def test_networks_that_differ_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, channels = layers("Encoding")
    ours.codewords.set_value(ours.codewords + 1)
    monkeypatch.setattr(heads, "layers", lambda name: (ours, theirs, channels))
    with pytest.raises(ArithmeticError, match="the outputs differ"):
        list(heads.compare_layer("Encoding", (4, 4), 1, rounds=1))


@needs_reset
@pytest.mark.parametrize("autotune", [False, True])
def test_each_side_is_run_once_within_a_search_of_its_own(autotune: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    monkeypatch.setattr(heads, "search_kernels", lambda: steps.append("search") or True)
    monkeypatch.setattr(heads, "peak_allocation", lambda run: 1)
    monkeypatch.setattr(heads, "interleaved_timing", lambda *runs, rounds: steps.append("time") or (Timing([1.0]),) * 2)
    for mode, run in dict(heads.RUNS).items():
        monkeypatch.setitem(heads.RUNS, mode, lambda *args, run=run: (steps.append("run"), run(*args)))
    assert len(list(heads.compare_layer("Encoding", (4, 4), 1, rounds=1, autotune=autotune))) == 2
    assert steps == [*["search", "run"] * 2 * autotune, "time"] * 2


@needs_reset
def test_encoding_needs_a_fortieth_of_the_memory() -> None:
    results = list(heads.compare_layer("Encoding", (16, 16), 1, rounds=1))
    for result in results:
        assert result.memory[0] <= result.memory[1] / 40, result.mode


# Peak of a head over PaddleSeg's, in evaluation and in training, at 16×32 maps: equal on every run, with the CPU's
# kernels and without. PSPHead's is that of its weights, not of its maps, and the same for larger ones.
PEAKS = {
    "DeepLabV3PlusHead": (0.989, 1.000),
    "PSPHead": (1.284, 0.954),
    "DMHead": (1.000, 0.988),
    "EncHead": (0.377, 0.481),
    "CCHead": (1.000, 0.966),
    "FastFCNHead": (0.147, 0.358),
}
SLACK = 1.05  # between versions of Paddle
AS_MUCH = {"PSPHead", "DMHead", "CCHead"}  # as PaddleSeg's, or more; seconds for each


@needs_reset
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in AS_MUCH)) for n in SPECS])
def test_no_head_holds_more_than_it_did(name: str) -> None:
    spec = SPECS[name]
    feats = feature_maps((16, 32), 1, spec.strides)
    image = paddle.zeros([1, 3, 128, 256])
    peaks: dict[str, list[int]] = {"evaluation": [], "training": []}
    for net in spec.build(feats):
        for mode, found in peaks.items():
            net.train() if mode == "training" else net.eval()
            for feat in feats:
                feat.stop_gradient = mode == "evaluation"
            step = partial(heads.RUNS[mode], lambda net: net(image), net, feats)
            step()  # the first makes what stays
            found.append(peak_allocation(step))
    for (ours, theirs), known in zip(peaks.values(), PEAKS[name]):
        assert ours <= SLACK * known * theirs
    assert peaks["training"][0] <= peaks["training"][1]


def test_peers_stand_side_by_side_with_geometric_means_of_heads() -> None:
    def rows(case: str, seconds: float, *modes: str) -> list:
        ours, theirs = Timing([1.0]), Timing([seconds])
        sizes = (4, 8), 1, ours, theirs
        return [heads.Result(case, mode, *sizes, 0.0, (2 * MIB, 4 * MIB), (1, 1), (1, 1)).row() for mode in modes]

    beside = [{"case": "PSPHead", "mode": mode, "pytorch_speedup": 3.0} for mode in ("evaluation", "training")]
    lines = side_by_side(rows("PSPHead", 2.0, "evaluation", "training"), beside)
    lines += [*rows("DMHead", 8.0, "training"), *rows("Encoding", 50.0, "training")]
    assert [row["mode"] for row in lines] == ["evaluation", "training", "training", "training"]
    assert lines[1]["speedup"] == 2 and lines[1]["pytorch_speedup"] == 3 and lines[1]["case"] == "PSPHead"
    *same, mean = even(with_means(lines, SPECS))  # none of evaluation, where there is one head
    assert (mean["case"], mean["mode"], mean["map"]) == ("geometric mean of 2 heads", "training", "4x8")
    assert mean["speedup"] == 4 and mean["memory_ratio"] == 0.5 and mean["pytorch_speedup"] == mean["ours_ms"] == ""
    assert len(same) == 4 and len({tuple(row) for row in [*same, mean]}) == 1


@pytest.mark.gpu
def test_mixed_precision_on_a_gpu() -> None:
    assert len(list(heads.compare("PSPHead", (8, 8), 1, rounds=1, amp=True))) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(SPECS))
def test_no_head_needs_more_memory_than_its_counterpart_on_a_gpu(name: str) -> None:
    """Peaks of what Paddle allocates; a tenth more is left to the libraries' choice of algorithms."""
    for result in heads.compare(name, (32, 64), 2, rounds=1):
        assert result.memory[0] <= 1.1 * result.memory[1], result.mode


def test_paddlesegs_side_has_the_lists_of_its_own_training(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, auto_cast = [], paddle.amp.auto_cast

    def recorded(enable: bool, custom_white_list: Any = None) -> Any:
        assert enable
        lists.append(custom_white_list)
        return auto_cast(enable=False)

    monkeypatch.setattr(paddle.amp, "auto_cast", recorded)
    nets = [paddle.nn.Conv2D(2, 2, 1) for _ in range(2)]
    nets[1].set_state_dict(nets[0].state_dict())
    x = paddle.randn([1, 2, 4, 4])
    list(heads.both_modes("two", tuple(nets), x, [x], (4, 4), rounds=1, amp=True))
    assert {None if names is None else frozenset(names) for names in lists} == {None, frozenset(heads.PADDLESEGS)}
