"""What code of one's own registers and imports, forgotten after a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paddleseg_ext.registry import HEADS, REGISTRIES


@contextmanager
def forgetting(folder: Path) -> Iterator[None]:
    """Registered components, paths of modules and modules below the folder are behind the block as before it."""
    tables: list[dict] = [HEADS, *(registry.components_dict for registry in REGISTRIES.values())]
    before, modules, paths = [dict(table) for table in tables], set(sys.modules), [*sys.path]
    try:
        yield
    finally:
        sys.path[:] = paths
        for table, kept in zip(tables, before):
            table.clear()
            table.update(kept)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
