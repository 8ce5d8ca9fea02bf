"""The recorded table is what running says, and the page is the record."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import paddle
import paddleseg
import pytest
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.backbones.needs import NEEDS
from paddleseg_ext.inspection import combinations, listing
from paddleseg_ext.inspection.combinations import OWN, PYRAMID, Variant, check_gradients, check_sizes, measure, works
from paddleseg_ext.inspection.combinations_page import cell, page
from paddleseg_ext.registry import HEADS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "combinations.md"
SMALL = ["HRNet_W18_Small_V1", "TopTransformer_Tiny", "ViTAdapter"]  # one of each kind
RECORD = listing.read_record(listing.RECORD)
same_versions = pytest.mark.skipif(
    listing.versions() != listing.versions(here=True), reason="recorded with another Paddle or PaddleSeg"
)


def assert_recorded(name: str) -> None:
    assert [v.to_dict() for v in measure(name)] == [v.to_dict() for v in RECORD[name]]


@same_versions
@pytest.mark.parametrize("name", SMALL)
def test_small_backbones_do_what_is_recorded(name: str) -> None:
    assert_recorded(name)


@pytest.mark.slow
@same_versions
@pytest.mark.parametrize("name", sorted(set(RECORD) - set(SMALL)))
def test_all_backbones_do_what_is_recorded(name: str) -> None:
    gc.collect()
    assert_recorded(name)


@same_versions
def test_every_backbone_and_head_is_recorded() -> None:
    names = {
        name for name, item in manager.BACKBONES.components_dict.items() if not item.__module__.startswith("tests")
    }
    assert set(RECORD) == names
    assert all(set(variant.heads) == set(HEADS) for variants in RECORD.values() for variant in variants)


def test_at_most_the_known_ones_do_not_run() -> None:
    outcomes = {(n, h): text for n, variants in RECORD.items() for h, text in variants[0].heads.items()}
    not_running = {pair: text for pair, text in outcomes.items() if not works(text)}
    assert {name for name, _ in not_running} == set(NEEDS)
    for (name, head), text in not_running.items():
        assert name in text and head in text and ";" in text and "\n" not in text
    if paddleseg.__version__ == "2.8.0":
        assert len(outcomes) == 888 and len(outcomes) - len(not_running) >= 800


def test_the_page_is_the_record() -> None:
    assert PAGE.read_text("utf-8") == page(RECORD, listing.versions())


def test_the_chinese_page_has_the_same_rows() -> None:
    """All but the head of its table, and the reasons, which are what the package prints."""
    pages = [path.read_text("utf-8") for path in (PAGE, PAGE.with_name("combinations_cn.md"))]
    rows, twins = (re.findall(r"^(?:\||\d+\. ).*", text, re.M) for text in pages)
    assert [row for row in rows if "backbone |" not in row] == [row for row in twins if "主干网络 |" not in row]


def test_cells() -> None:
    notes: list[str] = []
    eight, sixteen = (Variant(s, [[8, 4], [16, s]], 1, {"A": OWN, "B": PYRAMID, "C": "no."}) for s in (8, 16))
    assert cell([sixteen, eight], "A", notes) == "8, 16"
    assert cell([sixteen, eight], "B", notes) == "8 p, 16 p"
    assert notes == []
    assert cell([sixteen, eight], "C", notes) == cell([eight], "C", notes) == "no (1)"
    assert notes == ["no"]


class Broken(nn.Layer):
    """A backbone that fails in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 8, 3, stride=4, padding=1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        if self.training:
            raise RuntimeError("(InvalidArgument) no training here")
        return [self.conv(x)]


class Cut(Broken):
    """A backbone that no gradient reaches."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.conv(x).detach()]


@pytest.mark.parametrize("kind, reason", [(Broken, "no training here"), (Cut, "no gradient reaches its backbone")])
def test_what_fails_is_a_sentence(kind: type, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(manager.BACKBONES.components_dict, kind.__name__, kind)
    (variant,) = measure(kind.__name__, ["PSPHead", "FCNHead"])
    assert variant.maps == [[8, 4]]
    for head, text in variant.heads.items():
        assert text.startswith(f"{head} cannot be put on {kind.__name__}: ") and reason in text


def test_checks_find_faults() -> None:
    with pytest.raises(ValueError, match=r"a picture of \(5, 7\) gives a mask of \(5, 8\)"):
        check_sizes([paddle.zeros([1, 2, 5, 8])], (5, 7))
    net = nn.Sequential(nn.Linear(2, 2))
    (net(paddle.ones([1, 2])) * float("inf")).sum().backward()
    with pytest.raises(ValueError, match="the gradients of its 0 are not finite"):
        check_gradients(net)


def test_the_backbone_is_left_as_it_was() -> None:
    backbone = Broken()
    with combinations.shared(backbone):
        backbone.eval()
        assert backbone(paddle.ones([1, 3, 8, 8]))[0] is backbone(paddle.zeros([1, 3, 8, 8]))[0]
    assert "forward" not in vars(backbone)
