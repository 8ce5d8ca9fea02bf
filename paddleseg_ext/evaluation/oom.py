"""What to try when memory does not suffice for an image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from paddleseg_ext.errors import UserError


@contextlib.contextmanager
def explain_out_of_memory(shape: Sequence[int], window: Sequence[int] | None, window_batch: int) -> Iterator[None]:
    """Turn Paddle's failure to allocate into a sentence with settings to try; other errors pass.

    Args:
        shape: Of the images: (N, C, H, W).
        window: Width and height of the sliding windows in pixels, if there are any.
        window_batch: Windows at once.

    Raises:
        UserError: The block ran out of memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        count, _, height, width = shape
        images = f"{count} image{'s' * (count > 1)} of {width}×{height}"
        raise UserError(f"out of memory on {images}; try {_advice(shape, window, window_batch)}") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception is Paddle's failure to allocate, or Python's."""
    text = str(error)
    return isinstance(error, MemoryError) or "ResourceExhausted" in text or "out of memory" in text.lower()


def _advice(shape: Sequence[int], window: Sequence[int] | None, window_batch: int) -> str:
    count, _, height, width = shape
    if count > 1:
        return f"`batch_size` {count // 2}"
    if window and window_batch > 1:
        return f"`window_batch` {window_batch // 2}"
    # Halved windows in multiples of 32, by which networks reduce, overlapping by a quarter.
    crop = [max(32, length // 2 // 32 * 32) for length in window or (width, height)]
    stride = [length * 3 // 4 for length in crop]
    return (
        f"sliding windows: `is_slide` `crop_size` {crop[0]} {crop[1]} `stride` {stride[0]} {stride[1]} "
        "`window_batch` 1 (better the crop size of training, where it fits)"
    )
