"""Whether the weights in an exported file are the network's own, bit by bit.

Among 512 channels one weight that is off by a tenth moves no score by 1e-4: running the file cannot show it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.export.wrapper import Colors

Named = dict[str, np.ndarray]


def own_weights(model: nn.Layer, colors: Colors | None) -> Named:
    """Parameters and buffers by the names that files give them, and the normalization's numbers under our own."""
    registered = {tensor.name: tensor.numpy() for _, tensor in [*model.named_parameters(), *model.named_buffers()]}
    return {**registered, **({} if colors is None else {"factor": colors.factor, "offset": colors.offset})}


def wrong_in_paddle(folder: Path, own: Named) -> list[str]:
    """What is wrong with the arrays of ``model.pdiparams``; each has to be one of the network's own.

    Paddle saves nothing but registered tensors, so there is no other it could be. They lose their names when read:
    each of the network's own answers for one array.
    """
    arrays = [tensor.numpy() for tensor in paddle.jit.load(str(folder / "model")).state_dict().values()]
    left = Counter(_digest(array) for array in own.values())
    left.subtract(_digest(array) for array in arrays)
    missing = [array for array in own.values() if left[_digest(array)] > 0]
    return [
        f"weights of shape {list(array.shape)} are none of the network's own{_nearest(array, missing)}"
        for array in arrays
        if left[_digest(array)] < 0
    ]


def wrong_in_onnx(file: Path, own: Named) -> list[str]:
    """What is wrong with the arrays of an ONNX file that bear the name of one of the network's own.

    A converter may also add constants and rewrite what it takes; those have other names, and only running shows them.
    """
    import onnx

    graph = onnx.load(str(file)).graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            arrays[node.output[0]] = node.attribute[0].t
    wrong = []
    for name in sorted(arrays.keys() & own.keys()):
        array = onnx.numpy_helper.to_array(arrays[name])
        if _digest(array) != _digest(own[name]):
            wrong.append(
                f"weights of shape {list(array.shape)} are not the network's own{_nearest(array, [own[name]])}"
            )
    return wrong


def _digest(array: np.ndarray) -> bytes:
    return blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()


def _nearest(array: np.ndarray, candidates: Sequence[np.ndarray]) -> str:
    """How many values differ from the most similar of the network's own that are not in the file."""
    same_size = [other.reshape(-1) for other in candidates if other.size == array.size]
    differing = [int((array.reshape(-1) != other).sum()) for other in same_size]
    return f" ({min(differing)} of {array.size} values differ)" if differing else ""
