"""Evaluate a trained network on the validation set of its configuration."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.checkpoint.atomic import write_json
from paddleseg_ext.cli.common import add_config_arguments, output_file, output_folder, whole
from paddleseg_ext.cli.model_args import add_applying_arguments, model_of, predictor_settings, weights_of
from paddleseg_ext.config.values import MOST_READERS
from paddleseg_ext.data.checks import channels_of, check_channels, check_files, check_transforms
from paddleseg_ext.data.classes import class_names, palette
from paddleseg_ext.data.dataloader import LOADER_TIMEOUT
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.evaluate import evaluate
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.evaluation.provenance import Provenance
from paddleseg_ext.export.exported_model import read_report
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.device import READERS, reading_processes, set_device
from paddleseg_ext.visualization.comparisons import draw_comparisons, evenly_spaced

PICTURES = 16  # of --pictures, unless told


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, under PaddleSeg's names where it has them."""
    add_config_arguments(parser, required=False)
    add_applying_arguments(parser, "aug_eval")
    parser.add_argument(
        "--batch_size", type=whole(1), default=1, help="images of one size that the network sees at once"
    )
    parser.add_argument("--num_workers", type=whole(0, MOST_READERS), help=f"processes that read data; {READERS}")
    parser.add_argument(
        "--loader_timeout",
        type=whole(1),
        default=LOADER_TIMEOUT,
        help="seconds to wait for a batch; default %(default)s",
    )
    parser.add_argument("--boundary", action="store_true", help="also compute boundary IoU")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write all numbers to this file")
    parser.add_argument(
        "--pictures", type=output_folder, metavar="DIR", help="write image | truth | prediction | errors of some images"
    )
    parser.add_argument("--num_pictures", type=whole(1), help=f"how many; default: {PICTURES}")
    parser.add_argument(
        "--report", type=output_folder, metavar="DIR", help="write an HTML page: scores, confusions, the worst images"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table and write what was asked for.

    Raises:
        UserError: An argument is missing or has no effect, or as `evaluate`.
    """
    if args.config is None:
        raise UserError(_needed_configuration(args.exported))
    config = load_config(args.config, opts=args.opts)
    settings = predictor_settings(args, config.test_config)
    if args.num_pictures and not args.pictures:
        raise UserError("--num_pictures: without --pictures there is no effect; add it or leave it out")
    set_device(args.device)
    builder = Builder(config)
    dataset = builder.val_dataset
    check_files(dataset, "val_dataset")
    check_transforms(dataset, "val_dataset", evaluated=True)
    check_channels({"val_dataset": channels_of(dataset)}, config.dic["model"])
    model = model_of(args, builder, builder.val_transforms)
    weights = weights_of(args, builder)  # now, as a training that goes on may replace the files
    reading = {"batch_size": args.batch_size, "num_workers": reading_processes(args.num_workers)}
    reading["loader_timeout"] = args.loader_timeout
    result = evaluate(model, dataset, boundary=args.boundary, **reading, **settings)
    if distributed.rank() > 0:
        return 0
    names, colors = class_names(dataset), palette(dataset)
    test = {**asdict(Predictor(**settings)), "batch_size": args.batch_size}
    provenance = Provenance(args.config, config.dic, weights, type(dataset).__name__, result.images, test)
    print(result.table(names))
    for title, text in provenance.lines().items():
        print(f"{title + ':':<15}{text}")
    if doubts := result.doubts(names):
        print(f"warning: {doubts}")
    print(f"{result.images} images in {result.seconds:.1f} s")
    if args.json:
        content = {**result.to_dict(names), "confusion_matrix": result.confusion_dict(names)}
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(args.json), {**content, "provenance": provenance.to_dict()})
    if args.pictures:
        chosen = evenly_spaced(len(dataset), args.num_pictures or PICTURES)
        predictor = Predictor(**settings)
        drawn = draw_comparisons(model, dataset, chosen, args.pictures, names, colors, predictor)
        print(f"{len(drawn)} pictures: {args.pictures}")
    if args.report:
        from paddleseg_ext.visualization.report import write_report  # brings matplotlib and jinja2

        page = write_report(args.report, result, model, dataset, names, colors, settings, provenance)
        print(f"report: {page}")
    return 0


def _needed_configuration(exported: str | None) -> str:
    """Why there has to be a configuration; an export tells which it was made with."""
    if exported is None:
        return "--config: give the YAML file, whose val_dataset is evaluated"
    made_with = read_report(Path(exported)).get("config")
    example = f", {made_with}" if isinstance(made_with, str) else ""
    return (
        "--config: give a YAML file, whose val_dataset names the images and labels to evaluate on, which an exported "
        f"folder does not hold: the one that it was made with{example}, or another with the same classes"
    )
