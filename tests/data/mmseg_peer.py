"""mmsegmentation where mmcv has no compiled operators, for golden files and for comparisons of speed."""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import mmcv
import torch

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


def randomize(net: torch.nn.Module, seed: int) -> None:
    """Random weights and BatchNorm statistics that leave no branch without effect."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.named_parameters():
        draw = torch.randn(value.shape, generator=generator)
        if re.search(r"(bn\d?|norm)\.weight$", name):
            draw = 1 + 0.1 * draw
        elif name.endswith("gamma.scale"):
            draw = torch.tensor(0.7)
        elif name.endswith("encoding.0.scale"):
            draw = -0.05 * torch.rand(value.shape, generator=generator)
        else:
            draw *= 0.5 if value.ndim < 2 else 1 / value[0].numel() ** 0.5
        value.data.copy_(draw)
    for name, value in net.named_buffers():
        if name.endswith("running_mean"):
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
