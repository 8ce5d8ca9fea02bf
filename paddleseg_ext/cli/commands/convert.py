"""Turn a checkpoint of mmsegmentation, PaddleSeg or a paper's code into weights of this package: the same logits."""

from __future__ import annotations

import argparse
from pathlib import Path

import paddle
from paddleseg.cvlibs import Config
from safetensors.numpy import save_file

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.checkpoint.atomic import write_file, write_json
from paddleseg_ext.checkpoint.contents import KEYS
from paddleseg_ext.checkpoint.save import save_weights
from paddleseg_ext.cli.common import output_file
from paddleseg_ext.errors import UserError
from paddleseg_ext.importers.convert import SOURCES, import_backbone, import_checkpoint
from paddleseg_ext.importers.originals import ORIGINALS
from paddleseg_ext.importers.structure import colors_note

WRITERS = {
    ".pdparams": lambda weights: lambda path: save_weights(weights, path),
    ".safetensors": lambda weights: lambda path: save_file(weights, path),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", choices=list(SOURCES), help="the project that the checkpoint comes from")
    parser.add_argument("checkpoint", help="its file: .pth, .pdparams or .safetensors")
    parser.add_argument(
        "--config", required=True, help="the same network here: a YAML file, or a name of `list configs`"
    )
    parser.add_argument(
        "--output", type=output_file, required=True, help="where the weights go: .pdparams or .safetensors"
    )
    parser.add_argument("--key", help=f"entry of the file with the weights; the first of {', '.join(KEYS)}")
    parser.add_argument("--backbone", action="store_true", help="mmseg: the file holds a backbone alone")
    parser.add_argument("--opts", nargs="+", metavar="KEY=VALUE", help="change entries of the configuration")


def run(args: argparse.Namespace) -> int:
    """Convert, write the weights and beside them a JSON file with what is known of them, and list what was left out.

    Raises:
        UserError: The output's ending is unknown, ``--backbone`` is not possible with the source, or the file is
            not one of the source.
    """
    output = Path(args.output)
    if output.suffix not in WRITERS:
        raise UserError(f"--output {output}: its name must end in {' or '.join(WRITERS)}")
    if args.backbone and args.source != "mmseg":
        raise UserError(
            "--backbone: PaddleSeg's backbones are used as they are; set model.backbone.pretrained to the file"
            if args.source == "paddleseg"
            else f"--backbone: only mmseg's backbones are converted alone, not those of {args.source}"
        )
    paddle.set_device("cpu")
    config = load_config(args.config, opts=args.opts)
    model = _untrained(config, args.config)
    if args.backbone:
        imported = import_backbone(args.checkpoint, model.backbone, args.key)
    else:
        imported = import_checkpoint(args.source, args.checkpoint, model, args.key)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_file(output, WRITERS[output.suffix](imported.weights))
    record = {"source": args.source, "checkpoint": Path(args.checkpoint).name, "config": Path(args.config).name}
    if imported.key:
        record["key"] = imported.key
    write_json(output.with_suffix(".json"), {**record, **imported.meta, "left_out": imported.left_out})
    counters = [name for name in imported.left_out if name.endswith("num_batches_tracked")]
    others = [name for name in imported.left_out if not name.endswith("num_batches_tracked")]
    print(f"{output}: {len(imported.weights)} tensors{f' from {imported.key}' if imported.key else ''}")
    if imported.others:
        print(f"weights in the file that were not taken (choose by --key): {', '.join(imported.others)}")
    if counters:
        print(f"left out: {len(counters)} step counters of BatchNorm (num_batches_tracked)")
    for name in others:
        print(f"left out: {name}")
    if args.source in ORIGINALS and (note := colors_note(ORIGINALS[args.source], config.dic)):
        print(note)
    return 0


def _untrained(config: Config, path: str) -> paddle.nn.Layer:
    """The configuration's network; weights that it names for the start of a training are not fetched."""
    section = config.dic["model"]
    if section.get("type") != "EncoderDecoder":
        raise UserError(f"{path}: its model is {section.get('type')}, but only EncoderDecoder takes imported weights")
    return Builder(config, pretrained=False).model
