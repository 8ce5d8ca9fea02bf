"""What a network attends to in an image: of each head its own, of any network what gradients tell.

A head of one's own is explained by a function that `register_explainer` names.
"""

from paddleseg_ext.explanation import criss_cross, dynamic_conv, encoding, jpu, pyramid  # noqa: F401  # they register
from paddleseg_ext.explanation.explain import Explanation, explain
from paddleseg_ext.explanation.findings import CLASS, PIXEL, Bars, Maps, Section
from paddleseg_ext.explanation.registry import EXPLAINERS, explain_head, register_explainer
from paddleseg_ext.explanation.view import Call, View

__all__ = [
    "CLASS",
    "EXPLAINERS",
    "PIXEL",
    "Bars",
    "Call",
    "Explanation",
    "Maps",
    "Section",
    "View",
    "explain",
    "explain_head",
    "register_explainer",
]
