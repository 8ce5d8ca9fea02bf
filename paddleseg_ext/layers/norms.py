"""Classes of normalization layers."""

from __future__ import annotations

from paddle import nn

BATCH_NORMS = (nn.BatchNorm, nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D, nn.SyncBatchNorm)
"""Layers with batch statistics in training and running statistics in evaluation."""

NORMS = (*BATCH_NORMS, nn.GroupNorm, nn.InstanceNorm1D, nn.InstanceNorm2D, nn.InstanceNorm3D, nn.LayerNorm)
"""Layers with a learnable scale and shift."""
