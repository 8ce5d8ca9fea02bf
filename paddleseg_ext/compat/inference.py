"""What graphs of Paddle 3 (``.json``) need of Paddle Inference where PaddleSeg's scripts set it up.

- After `enable_memory_optim`: "Not find predictor_id 0 and pass_name memory_optimize_pass". The executor asks for a
  plan of reuse that is made for graphs of Paddle 2 alone, unless the new executor, which frees memory by itself, is
  chosen by name. Seen on Paddle 3.0 and 3.3.
- oneDNN is on unless it is turned off, and bilinear resizing in such a graph fails with it ("not support
  pir::ArrayAttribute<pir::DoubleAttribute>"). Scripts turn it on where they want it. Seen on Paddle 3.3.
- PaddleSeg's tools/export.py names ``model.pdmodel`` in deploy.yaml, but Paddle 3 writes ``model.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paddle import inference

from paddleseg_ext.compat.paddle import disable_onednn


class Config(inference.Config):
    """Paddle's own, which takes a graph by the name it would have had in Paddle 2 and runs it as a script asks.

    Args:
        *args: As Paddle's; among others the files of the graph and of the weights.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*(_present(arg) if isinstance(arg, str) else arg for arg in args))
        if self._is_of_paddle_3() and self.mkldnn_enabled():
            disable_onednn(self)

    def enable_memory_optim(self, enabled: bool = True) -> None:
        """Save memory where the network runs."""
        super().enable_memory_optim(enabled)
        if enabled and self._is_of_paddle_3():
            self.enable_new_executor()

    def _is_of_paddle_3(self) -> bool:
        return self.prog_file().endswith(".json")


def _present(file: str) -> str:
    """The graph of Paddle 3 beside a name for one of Paddle 2 that is not there."""
    path = Path(file)
    graph = path.with_suffix(".json")
    return str(graph) if path.suffix == ".pdmodel" and not path.exists() and graph.exists() else file


@contextmanager
def repaired_inference() -> Iterator[None]:
    """Within the block ``paddle.inference.Config`` is the `Config` of this module."""
    original = inference.Config
    inference.Config = Config  # type: ignore[assignment]  # a subclass of it
    try:
        yield
    finally:
        inference.Config = original
