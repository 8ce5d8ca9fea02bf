"""The one exception that means "the input is wrong", as opposed to "the program is wrong"."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in a configuration, a file or an argument, told in one sentence.

    The message names the file, key or layer and says what is allowed. The command line prints it
    without a traceback and exits with status 2.
    """
