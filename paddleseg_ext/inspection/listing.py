"""What a configuration can name: heads, backbones, data sets, transforms, losses; and configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import paddle
import paddleseg
from paddleseg.cvlibs import manager

from paddleseg_ext.config.load import load_config
from paddleseg_ext.config.shipped import shipped_configs
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection.arguments import arguments, summary
from paddleseg_ext.inspection.combinations import Variant, measure
from paddleseg_ext.registry import HEADS, PARENT_BOUND, closest

RECORD = Path(__file__).with_name("combinations.json")
REGISTRIES = {"datasets": manager.DATASETS, "transforms": manager.TRANSFORMS, "losses": manager.LOSSES}

Record = dict[str, list[Variant]]


def components(kind: str, names: list[str]) -> list[dict[str, Any]]:
    """Name, a line and the arguments of each component.

    Args:
        kind: ``heads``, ``backbones``, ``datasets``, ``transforms`` or ``losses``.
        names: Of those that are wanted; none for all.

    Raises:
        UserError: There is no component of a name.
    """
    known = {"heads": HEADS, "backbones": manager.BACKBONES.components_dict}.get(kind)
    known = REGISTRIES[kind].components_dict if known is None else known
    hidden = tuple(PARENT_BOUND) if kind == "heads" else ()
    wanted = chosen(names, sorted(known), kind)
    return [{"name": n, "text": summary(known[n]), "arguments": arguments(known[n], hidden)} for n in wanted]


def chosen(names: list[str], known: list[str], kind: str) -> list[str]:
    """The names that are asked for, or all.

    Raises:
        UserError: One is not known.
    """
    for name in names:
        if name not in known:
            raise UserError(f"there is no {name} among the {kind}{closest(name, known)}")
    return names or known


def combinations(names: list[str], again: bool = False) -> Record:
    """What the heads do on backbones, as it is recorded, or measured again.

    Args:
        names: Of the backbones; none for all.
        again: Measure instead, which takes seconds to a minute for each; what was never recorded is left out otherwise.

    Raises:
        UserError: There is no backbone of a name.
    """
    wanted = chosen(names, sorted(manager.BACKBONES.components_dict), "backbones")
    if again:
        return {name: measure(name) for name in wanted}
    recorded = read_record(RECORD)
    return {name: recorded[name] for name in wanted if name in recorded}


def read_record(path: Path) -> Record:
    """Variants by backbone, of a file that `to_json` made."""
    backbones = json.loads(path.read_text("utf-8"))["backbones"]
    return {name: [Variant(**variant) for variant in variants] for name, variants in backbones.items()}


def to_json(record: Record) -> str:
    """A record with the versions of Paddle and PaddleSeg, as the text of `RECORD`: a line for each backbone."""
    lines = [
        f"{json.dumps(name)}: {json.dumps([variant.to_dict() for variant in variants], ensure_ascii=False)}"
        for name, variants in record.items()
    ]
    here = f'"paddle": "{paddle.__version__}", "paddleseg": "{paddleseg.__version__}"'
    return f'{{{here}, "backbones": {{\n' + ",\n".join(lines) + "\n}}\n"


def versions(here: bool = False) -> str:
    """What the record was measured with, or would be here, in words."""
    record = json.loads(to_json({}) if here else RECORD.read_text("utf-8"))
    return f"Paddle {record['paddle']} and PaddleSeg {record['paddleseg']}"


def configurations() -> list[dict[str, Any]]:
    """Name, network, data and length of each configuration that comes with the package."""
    found = []
    for name, path in shipped_configs().items():
        config = load_config(path)
        model = config.dic["model"]
        head, backbone = model.get("decode_head", model), model.get("backbone", {})
        inner = f"({head['head']['type']})" if isinstance(head.get("head"), dict) else ""
        text = (
            f"{head['type']}{inner} on {backbone.get('type')}, {config.dic['train_dataset']['type']}, "
            f"{config.iters} iterations of {config.batch_size} images"
        )
        found.append({"name": name, "text": text})
    return found
