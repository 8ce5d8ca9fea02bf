"""Which function explains which head."""

from __future__ import annotations

from typing import Any, Callable

from paddle import nn

from paddleseg_ext.explanation.findings import Section
from paddleseg_ext.explanation.view import View

Explainer = Callable[[Any, View], "list[Section]"]

EXPLAINERS: dict[type, Explainer] = {}
"""By the class of a head; subclasses are explained as their nearest ancestor."""


def register_explainer(*heads: type) -> Callable[[Explainer], Explainer]:
    """Decorator: this function explains heads of these classes, in place of what explained them before.

    It is called with the head and a `View`, whose `View.watch` runs the head and gives the calls of its layers:

    >>> @register_explainer(GlobalHead)
    ... def explain_global(head, view):
    ...     (mix,) = view.watch(head.mix)
    ...     energy = mix[0].output.norm(axis=1)  # (1, h, w)
    ...     return [Section("Mixture", "Norm of the mixed map.", [view.maps("energy", energy, ["mix"])])]

    Args:
        *heads: Classes; their subclasses are meant too, unless they have explainers of their own.
    """

    def register(explainer: Explainer) -> Explainer:
        EXPLAINERS.update(dict.fromkeys(heads, explainer))
        return explainer

    return register


def explain_head(head: nn.Layer, view: View) -> list[Section]:
    """What a head itself does; nothing for one that no explainer is registered for."""
    for kind in type(head).__mro__:
        if kind in EXPLAINERS:
            return EXPLAINERS[kind](head, view)
    return []
