"""Base class of the decode heads: selection of feature maps, dropout and classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import paddle
from paddle import nn

DROPOUTS = {"channel": nn.Dropout2D, "element": nn.Dropout}

HeadFactory = Callable[..., "Head"]
"""A head class, or one with arguments bound; called with (in_channels, num_classes, align_corners=…)."""


class MissingMap(ValueError):
    """A head asks for a map that the backbone does not give."""


class Head(nn.Layer):
    """Base of the decode heads.

    Reference: mmsegmentation's `BaseDecodeHead`, mmseg/models/decode_heads/decode_head.py, for the meaning of
    ``in_index``, ``channels`` and ``align_corners``.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        in_index: Index of the input map; negative indices count from the last.
        channels: Channels of the head, and of the map that is classified.
        dropout: Probability of dropout in front of the classifier, in [0, 1).
        dropout_mode: ``channel`` drops whole channels, ``element`` single elements.
        act: Activation of the head's convolutions (`layers.conv.ACTIVATIONS`).
        align_corners: As in ``F.interpolate``; the parent's unless set.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of tensors in the order of ``output_names``; the mask logits (N, num_classes, Hᵢ, Wᵢ) first

    Raises:
        ValueError: an argument outside what is allowed, or an index the backbone lacks.
    """

    output_names: tuple[str, ...] = ("mask",)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        in_index: int = -1,
        channels: int = 512,
        dropout: float = 0.1,
        dropout_mode: str = "channel",
        act: str | None = "relu",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"{type(self).__name__}: dropout={dropout} must lie in [0, 1).")
        if dropout_mode not in DROPOUTS:
            raise ValueError(
                f"{type(self).__name__}: dropout_mode={dropout_mode!r} is not one of {', '.join(DROPOUTS)}."
            )
        if channels < 1:
            raise ValueError(f"{type(self).__name__}: channels={channels} must be at least 1.")
        self.feat_channels = tuple(in_channels)
        self.in_index = self.checked_index(in_index)
        self.in_channels = self.feat_channels[self.in_index]
        self.channels = channels
        self.act = act
        self.align_corners = align_corners
        self.dropout = DROPOUTS[dropout_mode](dropout)
        self.classifier = classifier(channels, num_classes)

    def checked_index(self, index: int, name: str = "in_index") -> int:
        """The index of a map, counted from the first.

        Args:
            index: Index of one of the backbone's maps; negative indices count from the last.
            name: The argument that it was given as, for the message.

        Raises:
            MissingMap: the backbone has no such map.
        """
        count = len(self.feat_channels)
        if not isinstance(index, int) or not -count <= index < count:
            raise MissingMap(
                f"{type(self).__name__}: {name}={index} but the backbone gives {count} feature map"
                f"{'s' if count > 1 else ''} with {', '.join(map(str, self.feat_channels))} channels; "
                f"allowed: {-count} to {count - 1}."
            )
        return index % count

    def suits(self, strides: Sequence[int]) -> bool:
        """Whether maps of these strides are of use to the head; those of a pyramid take their place otherwise.

        Args:
            strides: Pixels of the image per pixel of each map, along either side.
        """
        return True

    def classify(self, x: paddle.Tensor) -> paddle.Tensor:
        """Dropout and the 1×1 classifier.

        Shape:
            - x: (N, channels, H, W)
            - output: (N, num_classes, H, W)
        """
        return self.classifier(self.dropout(x))

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """The head's outputs for the backbone's maps, in the shapes that its class tells."""
        raise NotImplementedError


def classifier(channels: int, num_classes: int) -> nn.Conv2D:
    """1×1 convolution to the logits, initialized from N(0, 0.01²) so that training starts near uniform predictions."""
    return nn.Conv2D(channels, num_classes, 1, weight_attr=nn.initializer.Normal(0.0, 0.01))


def build_head(factory: HeadFactory, in_channels: Sequence[int], num_classes: int, align_corners: bool) -> Head:
    """Build a head with what its parent knows.

    Args:
        factory: A head class, or one with arguments bound.
        in_channels: Channels of each map that the head is given, finest first.
        num_classes: Number of classes.
        align_corners: The parent's; one that is bound in the factory takes precedence.

    Raises:
        ValueError: As the head says.
    """
    keywords: dict[str, Any] = {}
    if "align_corners" not in getattr(factory, "keywords", {}):
        keywords["align_corners"] = align_corners
    return factory(list(in_channels), num_classes, **keywords)
