"""A configuration as a YAML file to read and edit: sections in the order of a run, with comments that explain them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import yaml

from paddleseg_ext.config.train import TrainConfig

WIDTH = 120
ORDER = (
    *("imports", "batch_size", "iters", "train_dataset", "val_dataset", "model", "loss", "distill_loss"),
    *("optimizer", "lr_scheduler", "train", "test_config", "export"),
)
SECTIONS = {  # section: what stands above it
    "imports": ["Modules of your own that register components; they are imported first."],
    "batch_size": ["The length of the run."],
    "train_dataset": [
        "What the network learns from. The transforms are applied to each sample in this order; their arguments:",
        "paddleseg-ext list transforms. Data sets: paddleseg-ext list datasets.",
    ],
    "val_dataset": ["What evaluations run on, without random changes; also how images are prepared for predictions."],
    "model": [
        "The network. Channels and the number of classes follow from backbone and data. Names and arguments:",
        "paddleseg-ext list heads, list backbones; what goes with what: list combos.",
    ],
    "loss": [
        "One loss for each output of the network in training, the mask first, and its weight in the sum. Short runs",
        "miss rare classes unless these count more: paddleseg-ext check --class_weights root prints weights to paste.",
    ],
    "optimizer": ["How the network learns; the rate goes with the batch size above."],
    "train": ["How the run goes; paddleseg-ext train has a flag for each entry, which overrides it."],
    "test_config": ["How the trained network is applied to images: whole or in windows, at which scales."],
}
KEYS = (  # pattern of the path, what stands behind the key
    (r"batch_size", "images per iteration and device"),
    (r"iters", "iterations"),
    (r".*_dataset\.dataset_root", "the folder with the data, or a link to it"),
    (r".*_dataset\.ignore_index", "value of pixels that belong to no class"),
    (r".*\.crop_size", "width, height"),
    (r".*\.stride", "steps of the windows: width, height"),
    (r".*\.is_slide", "in windows of crop_size"),
    (r".*\.fit", "the scale counts from images fitted into this box; see also val_dataset"),
    (r".*\.target_size", "width, height"),
    (r".*\.m(in|ax)_scale_factor", "images are scaled at random"),
    (r".*\.scale_step_size", "distance of these scales; 0: any"),
    (r".*\.mean", "of RGB from 0 to 1, as the pretrained weights know them"),
    (r"model\.pretrained", "weights of the whole network to start from"),
    (r".*\.backbone\.pretrained", "weights to start from: a file, an address or a name; null: random ones"),
    (r".*\.backbone\.output_stride", "8, 16 or 32 pixels per cell of its last map: finer is slower"),
    (r".*\.align_corners", "true goes with crops of 8n + 1 pixels"),
    (r"model\.auxiliary_heads", "they help in training alone"),
    (r"lr_scheduler\.power", "1: a straight line down to end_lr"),
    (r"lr_scheduler\.warmup_iters", "iterations on the way up to the rate"),
    *((f"train\\.{entry.name}", entry.metadata["text"]) for entry in fields(TrainConfig)),
)


def editable_yaml(config: Mapping[str, Any], header: str) -> str:
    """The text of a YAML file with the keys and values of a configuration, and comments.

    Args:
        config: As the files say it, without ``_base_``; only the section `train:` lists what is not set, as comments.
        header: Lines of the comment at the top.
    """
    config = {"train": {}, **config}
    sections = [key for key in ORDER if key in config] + [key for key in config if key not in ORDER]
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for section in sections:
        if section not in ("iters", "lr_scheduler"):  # which go on with the one before
            lines += ["", *(f"# {line}" for line in SECTIONS.get(section, []))]
        lines += _commented(_dump({section: config[section]})) if config[section] or section != "train" else ["train:"]
        if section == "train":
            lines += _unset(config["train"] or {})
    return "\n".join(lines) + "\n"


def _dump(config: Mapping[str, Any]) -> str:
    """YAML with a line for each key, lists of numbers and what is small within lists in one line."""
    node = _Representer(sort_keys=False).represent_data(_type_first(config))
    _lay_out(node, within_list=False)
    return yaml.serialize(node, Dumper=_Dumper, width=WIDTH, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """The items of a list stand further in than its key."""
        super().increase_indent(flow, False)


class _Representer(yaml.representer.SafeRepresenter):
    def ignore_aliases(self, data: Any) -> bool:
        """What stands twice is written twice."""
        return True


def _type_first(value: Any) -> Any:
    """The same with each `type` in front of the arguments."""
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: key != "type")
        return {key: _type_first(value[key]) for key in keys}
    return [_type_first(item) for item in value] if isinstance(value, (list, tuple)) else value


def _lay_out(node: yaml.Node, within_list: bool) -> None:
    if isinstance(node, yaml.MappingNode):
        children = [child for _, child in node.value]
        node.flow_style = not children or (within_list and all(map(_is_scalar, children)))
    elif isinstance(node, yaml.SequenceNode):
        children, within_list = node.value, True
        node.flow_style = all(map(_is_scalar, children))
    else:
        return
    for child in children:
        _lay_out(child, within_list)


def _is_scalar(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)


def _commented(text: str) -> list[str]:
    """The lines of a YAML text, with what `KEYS` says of them."""
    lines = [[line] for line in text.splitlines()]
    for path, key, value in _entries(yaml.compose(text, Loader=yaml.SafeLoader), ()):
        comment = next((told for pattern, told in KEYS if re.fullmatch(pattern, path)), None)
        first, last = key.start_mark.line, value.end_mark.line
        line = lines[first][0]
        if comment and not line[: key.start_mark.column].strip(" -"):  # otherwise it is not the line's first
            is_wrapped = value.start_mark.line == first < last
            lines[first] = _beside(line, comment, WIDTH if not is_wrapped else 0)
    return [line for group in lines for line in group]


def _beside(line: str, comment: str, width: int = WIDTH) -> list[str]:
    """A line with a comment behind it, or above it where there is no room."""
    together = f"{line}  # {comment}"
    return [together] if len(together) <= width else [f"{' ' * (len(line) - len(line.lstrip()))}# {comment}", line]


def _entries(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Path, key and value of every entry."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield ".".join((*path, key.value)), key, value
            yield from _entries(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _entries(item, (*path, str(index)))


def _unset(section: Mapping[str, Any]) -> list[str]:
    """The entries of `train:` that a configuration does not set, as comments to take the # from."""
    lines = []
    for entry in fields(TrainConfig):
        if entry.name not in section:
            default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            value = yaml.safe_dump(default, default_flow_style=True).splitlines()[0]
            lines += _beside(f"  # {entry.name}: {value}", entry.metadata["text"])
    return lines
