"""Normalization layers, for whoever has to find them in a model."""

from __future__ import annotations

from paddle import nn

BATCH_NORMS = (nn.BatchNorm, nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D, nn.SyncBatchNorm)
"""Those that take statistics over the batch and keep running ones for evaluation."""

NORMS = (*BATCH_NORMS, nn.GroupNorm, nn.InstanceNorm1D, nn.InstanceNorm2D, nn.InstanceNorm3D, nn.LayerNorm)
"""All with a scale and a shift that can be learned."""
