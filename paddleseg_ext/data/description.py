"""What is known of a data set before it is built: how many classes, channels, and which value is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddleseg_ext.data.class_table import ClassTable, Color


@dataclass(frozen=True)
class Description:
    """The attributes that PaddleSeg looks for on a data set's class, for one whose section of the YAML file has them.

    Attributes:
        CLASSES: Names.
        PALETTE: RGB colors.
        NUM_CLASSES: Their number.
        IMG_CHANNELS: Of the images.
        IGNORE_INDEX: Value of pixels that belong to no class.
    """

    CLASSES: tuple[str, ...]
    PALETTE: tuple[Color, ...]
    NUM_CLASSES: int
    IMG_CHANNELS: int
    IGNORE_INDEX: int

    @classmethod
    def of(cls, table: ClassTable, img_channels: int, ignore_index: int) -> Description:
        """From a table of classes."""
        return cls(table.names, table.colors, len(table.names), img_channels, ignore_index)

    def entries(self) -> dict[str, Any]:
        """The classes as YAML keeps them in the data set's section, which then needs no other file."""
        return {"classes": list(self.CLASSES), "palette": [list(color) for color in self.PALETTE]}


def describe(dataset: Any, section: Mapping[str, Any]) -> Any:
    """Something with `NUM_CLASSES`, `IMG_CHANNELS` and `IGNORE_INDEX`: mostly the class itself.

    Args:
        dataset: The data set's class. Where it depends on the section, it has a class method
            ``described_by(section) -> Description``.
        section: ``train_dataset`` or ``val_dataset`` of a configuration.

    Raises:
        UserError: As `described_by` does.
    """
    return dataset.described_by(section) if hasattr(dataset, "described_by") else dataset
