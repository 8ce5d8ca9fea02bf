"""What is shown is what the network computes: attention, kernels, assignments and contributions beside naive forms."""

from __future__ import annotations

from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext import heads
from paddleseg_ext.explanation import contributions
from paddleseg_ext.explanation.criss_cross import Pass, contribution_norms, expansion
from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from tests.explanation.networks import HEADS, network, picture, segmentor, view_of

C, H, W = 16, 5, 7


@pytest.fixture
def attention() -> CrissCrossAttention:
    layer = CrissCrossAttention(C)
    layer.gamma.set_value(paddle.full([1], 0.6))
    return layer


def naive_weights(layer: CrissCrossAttention, x: np.ndarray) -> np.ndarray:
    """(H·W, H·W): softmax over row and column of each pixel, written from the paper's equation."""

    def project(conv: paddle.nn.Conv2D) -> np.ndarray:
        return np.einsum("oc,chw->hwo", conv.weight.numpy()[:, :, 0, 0], x) + conv.bias.numpy()

    query, key = project(layer.query), project(layer.key)
    matrix = np.zeros((H * W, H * W))
    for i in range(H):
        for j in range(W):
            places = [(i, k) for k in range(W)] + [(k, j) for k in range(H) if k != i]
            energy = np.exp([query[i, j] @ key[place] for place in places])
            for (a, b), value in zip(places, energy / energy.sum()):
                matrix[i * W + j, a * W + b] = value
    return matrix


@pytest.mark.parametrize("recurrence", [1, 2, 3])
def test_criss_cross_attention(attention: CrissCrossAttention, recurrence: int) -> None:
    cells = np.stack(np.meshgrid(np.arange(H), np.arange(W), indexing="ij"), -1).reshape(-1, 2)
    x = paddle.randn([1, C, H, W])
    maps = [x]
    with paddle.no_grad():
        for _ in range(recurrence):
            maps.append(attention(maps[-1]))
    passes = [Pass(attention, each) for each in maps[:-1]]
    naive = [naive_weights(attention, each[0].numpy()) for each in maps[:-1]]
    one = expansion(passes[:1], cells)[1].reshape(H * W, H * W)
    np.testing.assert_allclose(one, naive[0], atol=1e-5)
    terms = expansion(passes, cells)
    composed = np.linalg.multi_dot(naive[::-1]) if recurrence > 1 else naive[0]
    np.testing.assert_allclose(terms[-1].reshape(H * W, -1), composed, atol=1e-5)
    np.testing.assert_allclose(terms[-1].sum((1, 2)), 1, rtol=1e-5)
    if recurrence > 1:
        assert (terms[-1] > 0).all()  # every pixel reaches every other

    # The weights, applied to the values, give what the layers gave.
    weight, bias = attention.value.weight.numpy()[:, :, 0, 0], attention.value.bias.numpy()
    vectors, gamma = x[0].numpy().reshape(C, -1).T, 0.6
    power, total, added = vectors, vectors.copy(), np.zeros((H * W, H * W, C))
    for term in terms[1:]:
        power = gamma * power @ weight.T
        total += term.reshape(H * W, -1) @ power
        added += term.reshape(H * W, -1, 1) * power
    constant = np.zeros(C)
    for _ in range(recurrence):
        constant = constant + gamma * (weight @ constant + bias)
    np.testing.assert_allclose(total + constant, maps[-1][0].numpy().reshape(C, -1).T, atol=1e-5, rtol=1e-4)
    norms = contribution_norms(attention, terms, x)
    np.testing.assert_allclose(norms.reshape(H * W, -1), np.linalg.norm(added, axis=2), atol=1e-5, rtol=1e-4)


def test_attention_of_a_head_is_that_of_its_layer() -> None:
    head = heads.CCHead([24], 4, channels=C)
    head.attention.gamma.set_value(paddle.full([1], 0.6))
    feats = [paddle.randn([1, 24, H, W])]
    view = view_of(head, feats)
    shown = {section.title: section for section in contributions_of(head, view)}["Criss-cross attention"]["Attention"]
    with paddle.no_grad():
        first = head.before(feats[0])
        matrices = [naive_weights(head.attention, each[0].numpy()) for each in (first, head.attention(first))]
    rows, columns = view.geometry.cells((H, W)).T
    for number, matrix in enumerate([*matrices, matrices[1] @ matrices[0]]):
        expected = matrix[rows * W + columns].reshape(-1, H, W)
        np.testing.assert_allclose(shown.values[:, number], expected, atol=1e-5)
    assert list(shown.labels) == ["pass 1", "pass 2", "all passes composed"]


def contributions_of(head: paddle.nn.Layer, view: object) -> list:
    from paddleseg_ext.explanation import explain_head

    return explain_head(head, view)


@pytest.mark.parametrize(
    "name, options",
    [
        ("PSPHead", {}),
        ("PSPHead", {"bottleneck_kernel": 1, "align_corners": True}),
        ("ASPPHead", {}),
        ("ASPPHead", {"branch_order": "pool_last", "proj_kernel": 3, "separable": True}),
        ("DMHead", {}),
        ("DMHead", {"act": "gelu"}),
        ("CCHead", {}),
        ("DeepLabV3PlusHead", {}),
        ("DeepLabV3PlusHead", {"separable": False}),
        ("FastFCNHead", {"branch_order": "shallow_first"}),
    ],
)
def test_branches_sum_to_the_map(name: str, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[contributions.Branches] = []
    parts = contributions.Branches.parts
    monkeypatch.setattr(contributions.Branches, "parts", lambda self: found.append(self) or parts(self))
    made = network(name, **options)
    model = segmentor(made)
    model.explain(picture(), grid=(2, 2))
    layers = list({id(branches.layer): branches for branches in reversed(found)}.values())  # the first of each
    outputs: dict[int, np.ndarray] = {}
    for branches in layers:
        branches.layer.register_forward_post_hook(
            lambda layer, _, out: outputs.setdefault(id(layer), out.numpy().copy()) is None or None
        )
    sample = model.task.prepared(model.task.read(picture()))
    with paddle.no_grad():
        made(paddle.to_tensor(sample["img"][None]))
    assert layers
    for branches in layers:
        each, constant = parts(branches)
        assert len(each) == len(branches.names) > 1 and all(np.abs(part).max() > 0 for part in each)
        with paddle.no_grad():
            total = branches.layer.act(paddle.to_tensor((each.sum(0) + constant)[None])).numpy()
        expected = outputs[id(branches.layer)]
        np.testing.assert_allclose(total, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["ASPPHead", "CCHead", "DMHead", "EncHead", "FastFCNHead", "PSPHead"])
def test_bars_sum_to_the_logit(name: str) -> None:
    found = segmentor(network(name)).explain(picture(), grid=(5, 4))
    logits = found["Classes of the pixel"]["Logit"].values
    bars = next(f for section in found for f in section if f.title == "Contribution to the logit")
    assert bars.values.shape == (20, len(bars.labels)) and bars.labels[-1] == "constant"
    np.testing.assert_allclose(bars.values.sum(1), logits.max(1), atol=1e-5 * np.abs(logits).max())


def test_evidence_is_a_classs_logit() -> None:
    """Summed over branches, with the constant where nothing is added, it is the class's logit map."""
    made = network("PSPHead")
    found = segmentor(made).explain(picture(40, 56), grid=(2, 2), classes=[2])
    evidence = found["Pyramid pooling"]["Evidence for a class"].values[0].sum(0)
    sample = segmentor(made).task.prepared(segmentor(made).task.read(picture(40, 56)))
    with paddle.no_grad():
        x = made.backbone(paddle.to_tensor(sample["img"][None]))
        logit = made.decode_head(x)[0][0, 2].numpy()
    head = made.decode_head
    y = head.bottleneck.norm(paddle.zeros([1, 8, 1, 1]))  # the constant, before its gates
    assert evidence.shape == logit.shape and y.abs().max() > 0
    with paddle.no_grad():
        before = head.bottleneck.act
        head.bottleneck.act = paddle.nn.Identity()
        normalized = head.bottleneck(x[-1], head.pyramid(x[-1]))
        head.bottleneck.act = before
    gates = (normalized > 0).astype("float32")
    weight = head.classifier.weight[2]
    constant = (weight.unsqueeze(0) * gates * y).sum(1)[0].numpy() + float(head.classifier.bias[2])
    np.testing.assert_allclose(evidence + constant, logit, atol=1e-5 * np.abs(logit).max())


def test_predicted_kernels() -> None:
    head = heads.DMHead([24], 4, channels=8, filter_sizes=(1, 2, 3))
    feats = [paddle.randn([1, 24, 9, 11])]
    kernels = contributions_of(head, view_of(head, feats))[0]
    for conv, k in zip(head.dynamic, (1, 2, 3)):
        with paddle.no_grad():
            expected = conv.filter_gen(F.adaptive_avg_pool2d(feats[0], k))[0].numpy()
        shown = kernels[f"Kernels {k}×{k}"]
        np.testing.assert_allclose(shown.values[0], expected.mean(0), atol=1e-6)
        norms = np.sqrt((expected**2).sum((1, 2)))
        channels = [int(label.split()[1]) for label in shown.labels[1:]]
        assert channels == list(np.argsort(-norms)[:6])
        np.testing.assert_allclose(shown.values[1:], expected[channels], atol=1e-6)


def test_codewords_gates_and_presence() -> None:
    head = heads.EncHead([24], 4, channels=8, num_codes=5)
    feats = [paddle.randn([1, 24, 9, 11])]
    view = view_of(head, feats)
    codewords, gates, present = contributions_of(head, view)
    with paddle.no_grad():
        x = head.bottleneck(feats[0])
        projected = head.encoding.project(x)[0].numpy()
        context, _ = head.encoding(x)
        gate = 1 / (1 + np.exp(-head.encoding.gate(context).numpy()[0]))
        se = 1 / (1 + np.exp(-head.se(context).numpy()[0]))
    codes, scale = head.encoding.encoding.codewords.numpy(), head.encoding.encoding.scale.numpy()
    energy = np.zeros((5, 9, 11))
    for k in range(5):
        for i in range(9):
            for j in range(11):
                energy[k, i, j] = scale[k] * ((projected[:, i, j] - codes[k]) ** 2).sum()
    expected = np.exp(energy) / np.exp(energy).sum(0)
    shown = codewords["Assignment"]
    order = [int(label.split(":")[0].split()[1]) for label in shown.labels]
    np.testing.assert_allclose(shown.values, expected[order], atol=1e-5)
    rows, columns = view.geometry.cells((9, 11)).T
    np.testing.assert_allclose(codewords["Codewords of the pixel"].values, expected[:, rows, columns].T, atol=1e-5)
    assert list(expected[order].mean((1, 2))) == sorted(expected.mean((1, 2)), reverse=True)
    for title, values in (("Strongest gates", sorted(gate, reverse=True)), ("Weakest gates", sorted(gate))):
        np.testing.assert_allclose(gates[title].values, values, atol=1e-6)
    np.testing.assert_allclose(present["Presence by the SE branch"].values, se, atol=1e-6)


@pytest.mark.parametrize("order", ["deep_first", "shallow_first"])
def test_a_stage_that_gives_nothing_contributes_nothing(order: str) -> None:
    made = network("FastFCNHead", branch_order=order)
    for parameter in made.decode_head.jpu.laterals[0].norm.parameters():
        parameter.set_value(paddle.zeros_like(parameter))  # the finest map's, so that its relu gives zeros
    for statistic in ("_mean", "_variance"):
        value = getattr(made.decode_head.jpu.laterals[0].norm, statistic)
        value.set_value(paddle.zeros_like(value) if statistic == "_mean" else paddle.ones_like(value))
    found = segmentor(made).explain(picture(), grid=(2, 2))["Joint pyramid upsampling"]["Contribution of each stage"]
    assert list(found.labels) == ["stage 2 of the backbone", "stage 3 of the backbone", "stage 4 of the backbone"]
    largest = found.values.max((1, 2))
    assert largest[0] < 1e-5 * largest[1:].min()


def test_every_head_of_the_package_is_tried_here() -> None:
    from paddleseg_ext.registry import HEADS as REGISTERED

    ours = {name for name, head in REGISTERED.items() if head.__module__.startswith("paddleseg_ext.")}
    assert ours == set(HEADS) and isinstance(HEADS["CCHead"], partial)
