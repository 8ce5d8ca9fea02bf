"""Stand-ins for packages that PaddleSeg imports whole for little: they are imported when something of them is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """A module that has not been imported yet."""

    def __getattr__(self, name: str) -> Any:
        _remove()
        return getattr(importlib.import_module(self.__name__), name)


def _remove() -> None:
    for name in [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]:
        del sys.modules[name]


@contextmanager
def deferred(name: str) -> Iterator[None]:
    """Within the block, an import, ``import package.module`` gives a stand-in, unless the package is there already.

    Scikit-learn, with SciPy's statistics and pandas, takes as long to import as Paddle; PaddleSeg wants it for one
    score, the area under a curve, of one script.

    Args:
        name: Of a module in a package, e.g. ``sklearn.metrics``.
    """
    package, _, module = name.partition(".")
    if package not in sys.modules:
        parent, child = _StandIn(package), _StandIn(name)
        setattr(parent, module, child)  # where `import package.module as …` looks
        sys.modules.update({package: parent, name: child})
    try:
        yield
    finally:
        _remove()
