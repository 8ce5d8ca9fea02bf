"""Decode heads; importing them registers them in PaddleSeg's component manager."""

from paddleseg_ext.heads.aspp import ASPPHead
from paddleseg_ext.heads.base import Head
from paddleseg_ext.heads.cc import CCHead
from paddleseg_ext.heads.deeplabv3plus import DeepLabV3PlusHead
from paddleseg_ext.heads.dm import DMHead
from paddleseg_ext.heads.enc import EncHead
from paddleseg_ext.heads.fastfcn import FastFCNHead
from paddleseg_ext.heads.fcn import FCNHead
from paddleseg_ext.heads.psp import PSPHead

__all__ = [
    "ASPPHead",
    "CCHead",
    "DMHead",
    "DeepLabV3PlusHead",
    "EncHead",
    "FCNHead",
    "FastFCNHead",
    "Head",
    "PSPHead",
]
