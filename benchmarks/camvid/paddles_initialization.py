"""Our networks whose heads begin by Paddle's defaults instead of by the papers', to show what that does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from paddleseg_ext.heads import enc
from paddleseg_ext.layers import conv, criss_cross, dcm, encoding, pyramid
from paddleseg_ext.registry import register_model
from paddleseg_ext.segmentor import EncoderDecoder


@contextmanager
def _paddles_defaults() -> Iterator[None]:
    with ExitStack() as stack:
        for module in (conv, pyramid):
            stack.enter_context(patch.object(module, "kaiming_fan_out", lambda *_: None))
        for module in (criss_cross, dcm, enc, encoding):
            stack.enter_context(patch.object(module, "uniform_fan_in", lambda *_: {}))
        yield


@register_model
class PaddlesInitialization(EncoderDecoder):
    """`EncoderDecoder`, the weights of its heads drawn as Paddle draws those of layers that do not say how."""

    def __init__(self, *args: Any, **options: Any) -> None:
        with _paddles_defaults():
            super().__init__(*args, **options)
