"""What constructors of PaddleSeg's backbones need although it has a default, and fail without in words of their own."""

from __future__ import annotations

from collections.abc import Iterable

NEEDS = {
    "ViTAdapter": (
        "interaction_indexes",
        "needs interaction_indexes, the first and last of the blocks between its interactions, such as "
        "[[0, 2], [3, 5], [6, 8], [9, 11]] for 12 blocks; ViTAdapter_Tiny has them",
    ),
}


def missing_argument(name: str, given: Iterable[str]) -> str | None:
    """What a backbone needs beside the arguments that it is given, to go on after its name; or None."""
    argument, sentence = NEEDS.get(name, (None, None))
    return None if argument is None or argument in given else sentence
