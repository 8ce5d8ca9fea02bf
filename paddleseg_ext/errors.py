"""The one exception that means "the input is wrong", and the one way to shorten a foreign exception to a line."""

from __future__ import annotations

LONGEST = 300  # characters of a reason; a damaged file may have chosen the words


class UserError(ValueError):
    """A mistake in a configuration, a file or an argument, told in one sentence.

    The message names the file, key or layer and says what is allowed. An argument stands in backquotes; the command
    line puts its flag (``--name``) in their place, prints the sentence without a traceback and exits with status 2.
    """


def reason(error: BaseException) -> str:
    """What an exception of Paddle, PaddleSeg or another library says, as one line.

    Paddle puts a page of C++ frames around the line that tells, PaddleSeg wraps the cause in several lines of which the
    last one is it, others spread one sentence over several lines.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if isinstance(error, KeyError):
        return f"missing key {lines[0]}"
    telling = [line for line in lines if "Error: " in line]
    if telling and len(lines) > 1:
        text = telling[0]
    else:
        text = lines[-1] if isinstance(error, RuntimeError) else " ".join(lines)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
