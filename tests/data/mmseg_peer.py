"""mmsegmentation where mmcv has no compiled operators, for the scripts that write golden files with it."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import mmcv

if TYPE_CHECKING:
    from mmengine import Registry


class Stub(types.ModuleType):
    """Stands for compiled operators that these networks never call."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stub_compiled_operators() -> None:
    ops = Stub("mmcv.ops")
    ops.__path__ = []
    sys.modules.update({name: Stub(name) for name in ("mmcv.ops.point_sample", "mmcv.ops.carafe")}, **{"mmcv.ops": ops})
    path = Path(mmcv.__file__).parent / "ops" / "cc_attention.py"  # pure PyTorch
    spec = importlib.util.spec_from_file_location("mmcv.ops.cc_attention", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ops.CrissCrossAttention = module.CrissCrossAttention


def load_models() -> Registry:
    """mmsegmentation's registry of backbones, necks, heads and segmentors."""
    stub_compiled_operators()
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    return MODELS
