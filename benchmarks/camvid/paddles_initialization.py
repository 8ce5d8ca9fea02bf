"""Where this is imported, the heads' weights begin as Paddle's defaults instead of as the papers'."""

from __future__ import annotations

from typing import Any

from paddleseg_ext.heads import enc
from paddleseg_ext.layers import conv, criss_cross, dcm, encoding, pyramid


def _default(*_: Any) -> None:
    return None


def _defaults(*_: Any) -> dict[str, Any]:
    return {}


for module in (conv, pyramid):
    module.kaiming_fan_out = _default  # type: ignore[attr-defined]
for module in (criss_cross, dcm, enc, encoding):
    module.uniform_fan_in = _defaults  # type: ignore[attr-defined]
