"""CCNet with energies of 10⁴: exported when right, refused when wrong; and wrong files of well-conditioned networks."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.export import exporter as exporting
from paddleseg_ext.export.exporter import FREE, Export, VerificationError
from paddleseg_ext.export.fuse_bn import fused
from paddleseg_ext.export.runtimes import open_runner
from paddleseg_ext.export.sensitivity import relative_difference
from paddleseg_ext.export.verify import make_inputs
from tests.export.test_exporter import FORMATS, trained

ENERGY = 1e4


def largest_energy(net: nn.Layer, images: np.ndarray) -> float:
    """Of all passes of the attention, over columns and rows."""
    attention, seen = net.decode_head.attention, []
    hook = attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with paddle.no_grad():
        net(paddle.to_tensor(images))
        hook.remove()
        pairs = [(attention.query(x), attention.key(x)) for x in seen]
        kinds = ("nchw,nchv->nhwv", "nchw,ncuw->nhuw")
        return max(float(paddle.einsum(kind, q, k).abs().max()) for q, k in pairs for kind in kinds)


def ccnet(seed: int, energy: float = ENERGY) -> nn.Layer:
    """With random weights, γ = 0.7, and queries and keys scaled until the energies reach a value."""
    paddle.seed(seed)
    net = trained("CCHead")
    images = make_inputs(net, FREE, None)[0].images
    attention = net.decode_head.attention
    for _ in range(3):  # the second pass sees what the first gave
        factor = (energy / largest_energy(net, images)) ** 0.5
        for layer in (attention.query, attention.key):
            layer.weight.set_value(layer.weight * factor)
            layer.bias.set_value(layer.bias * factor)
    assert largest_energy(net, images) == pytest.approx(energy, rel=0.2)
    return net


@pytest.mark.parametrize("seed", [0, 3, 5, 11])
def test_large_energies_are_exported_with_the_sensitivity_stated(seed: int, tmp_path: Path) -> None:
    report = Export(formats=FORMATS, output_op="none").write(ccnet(seed), tmp_path)
    figures = report["verification"]
    assert report["folded_batch_norms"] == 4, "folding is judged alike"
    assert 1e-5 < figures["sensitivity"] and figures["difference"] <= figures["allowed_difference"] <= 1e-2
    assert figures["allowed_difference"] == pytest.approx(min(1e-2, max(1e-4, 3 * figures["sensitivity"])))
    assert figures["equal_pixels"] >= 0.9999


def test_some_of_these_differ_by_more_than_others_may() -> None:
    """Folding alone, which changes nothing but the rounding; otherwise the test above would show nothing."""
    net = ccnet(0)
    inputs = make_inputs(net, FREE, None)
    light, _ = fused(net, paddle.to_tensor(inputs[0].images), lambda _: True)
    with paddle.no_grad():
        off = [relative_difference(light(paddle.to_tensor(i.images))[0].numpy(), i.logits) for i in inputs]
    assert max(off) > 1e-4


def altered(file: Path, array: np.ndarray, change: Callable[[np.ndarray], None]) -> None:
    """Change a weight where it stands in a file; both formats hold them as they are in memory."""
    data, old, new = file.read_bytes(), array.tobytes(), array.copy()
    change(new.reshape(array.shape))
    assert data.count(old) == 1 and new.tobytes() != old
    file.write_bytes(data.replace(old, new.tobytes()))


def export_altered(
    net: nn.Layer, folder: Path, backend: str, key: str, change: Callable, patch: pytest.MonkeyPatch, output_op: str
) -> None:
    """Export with one array changed in every file written."""
    save = Export._save

    def save_wrong(self: Export, model: nn.Layer, folder: Path, output_op: str) -> list[Path]:
        files = list(save(self, model, folder, output_op))
        array = dict(model.named_parameters())[key].numpy()
        for file in files:
            if file.suffix == (".onnx" if backend == "onnx" else ".pdiparams"):
                altered(file, array, change)
        return files

    patch.setattr(Export, "_save", save_wrong)
    Export(formats=(backend,), output_op=output_op).write(net, folder)


def at(*index: int) -> Callable[[np.ndarray], None]:
    """The smallest change there is of one weight."""

    def change(array: np.ndarray) -> None:
        array[index] = np.nextafter(array[index], np.float32(np.inf))

    return change


@pytest.mark.parametrize("backend", FORMATS)
@pytest.mark.parametrize("energy", [1.0, ENERGY])
@pytest.mark.parametrize(
    ("key", "index"), [("decode_head.attention.key.weight", (1, 3, 0, 0)), ("decode_head.attention.gamma", (0,))]
)
def test_one_changed_weight_is_refused(
    key: str, index: tuple[int, ...], energy: float, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VerificationError, match=rf"{backend}, weights .* own \(1 of \d+ values differ\)"):
        export_altered(ccnet(0, energy), tmp_path, backend, key, at(*index), monkeypatch, "argmax")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backend", FORMATS)
def test_an_array_in_the_place_of_another_is_refused(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = ccnet(0)

    def take_the_query(array: np.ndarray) -> None:
        array[:] = net.decode_head.attention.query.weight.numpy()

    with pytest.raises(VerificationError, match=rf"{backend}, weights of shape \[2, 16, 1, 1\] .* of 32 values differ"):
        export_altered(net, tmp_path, backend, "decode_head.attention.key.weight", take_the_query, monkeypatch, "none")


def zero(array: np.ndarray) -> None:
    array[1] = 0


def shifted(array: np.ndarray) -> None:
    array.reshape(-1)[1] += array.std()


WRONGS = {
    "a channel of the values": ("decode_head.attention.value.weight", zero),
    "a channel of the backbone": ("backbone.stages.1.weight", zero),
    "a channel of the keys": ("decode_head.attention.key.weight", zero),
    "a bias": ("decode_head.before.norm.values", shifted),
}


@pytest.mark.parametrize("energy", [1.0, ENERGY])
@pytest.mark.parametrize("wrong", WRONGS)
def test_scores_show_what_is_wrong(wrong: str, energy: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without comparing the weights, as where a converter wrote the wrong operation."""
    monkeypatch.setattr(exporting, "wrong_in_paddle", lambda *_: [])
    key, change = WRONGS[wrong]
    with pytest.raises(VerificationError, match="network is wrong, so no file was left: paddle, ") as error:
        export_altered(ccnet(2, energy), tmp_path, "paddle", key, change, monkeypatch, "argmax")
    assert "is allowed" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_class_ids_of_a_wrong_file_are_refused_though_its_scores_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_wrong(folder: Path, backend: str) -> Callable[[np.ndarray], np.ndarray]:
        runner = open_runner(folder, backend)
        return (lambda images: runner(images) * (images.shape[0] == 1)) if folder.name == "final" else runner

    monkeypatch.setattr(exporting, "open_runner", open_wrong)
    with pytest.raises(VerificationError, match="a pixel has a class whose score is behind by"):
        Export().write(ccnet(0), tmp_path)
