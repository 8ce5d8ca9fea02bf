"""Trains networks by the loops of the projects that they are from, imports them, and compares what they say.

The environment variable PADDLESEG_EXT_TORCH names the Python of an environment with PyTorch and mmsegmentation; without
it their part is left out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paddleseg_ext
from benchmarks.clone import ROOT, clone_environment
from benchmarks.imports.compare import compare, is_proved
from benchmarks.imports.outputs import EVALUATION
from benchmarks.pytorch.environment import TORCH, torch_python
from benchmarks.tables import log, write_table
from paddleseg_ext.builder import Builder
from paddleseg_ext.config.files import read_files
from paddleseg_ext.config.load import load_config
from paddleseg_ext.config.text import to_yaml
from paddleseg_ext.data.classes import class_names
from paddleseg_ext.errors import UserError

HERE = Path(__file__).resolve().parent
STREETS = ROOT / "configs" / "_base_" / "datasets" / "street_scenes_256x128.yml"
SOURCES = {"pspnet": "paddleseg", "ccnet": "paddleseg", "pspnet_mmseg": "mmseg"}
EXTENSION = "import sys; from paddleseg_ext.cli.main import main; sys.exit(main())"  # the command paddleseg-ext


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument(
        "data_root", type=Path, nargs="?", help="folder of CamVid, by default the embedded street scenes"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "imports", help="default: %(default)s")
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=list(SOURCES), help="some of the networks")
    parser.add_argument("--iters", type=int, default=300, help="of each training; default: %(default)s")
    args = parser.parse_args(arguments)
    if args.data_root is not None and not (args.data_root / "train.txt").is_file():
        parser.error(f"{args.data_root} has no train.txt; configs/camvid/README.md tells the layout")
    results, proved = args.output.resolve() / "results", True
    results.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        if SOURCES[name] == "mmseg" and not torch_python():
            log(f"{name}: left out, for {TORCH} names no Python with PyTorch and mmsegmentation")
            continue
        work = results.parent / "runs" / name
        record = import_here(name, *train_there(name, args.data_root, work, args.iters), work)
        proved = proved and is_proved(record)
        data = "CamVid" if args.data_root else "street scenes"
        record = {"data": data, "iterations": args.iters, **record}
        (results / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(write_results(results).read_text("utf-8"))
    return 0 if proved else 1


def write_results(results: Path) -> Path:
    """The table of all networks that the folder has a record of."""
    files = [results / f"{name}.json" for name in SOURCES]
    return write_table(
        results, "table", [_row(file.stem, json.loads(file.read_text("utf-8"))) for file in files if file.is_file()]
    )


def train_there(name: str, data_root: Path | None, work: Path, iters: int) -> tuple[Path, Path]:
    """Train, evaluate and apply a network by its own project's functions, unless that is done for this configuration.

    Returns:
        The checkpoint, and the configuration of the same network here.
    """
    work.mkdir(parents=True, exist_ok=True)
    before = _texts(work)
    config = write_config(name, data_root, work, iters)
    stock = write_config(f"{name}_stock", data_root, work, iters) if SOURCES[name] == "paddleseg" else None
    checkpoint = work / f"iter_{iters}" / "model.pdparams" if stock else work / f"iter_{iters}.pth"
    if before == _texts(work) and checkpoint.is_file() and (work / EVALUATION).is_file():
        log(f"{name}: trained already")
        return checkpoint, config
    (work / EVALUATION).unlink(missing_ok=True)  # the last that a training writes
    if stock:
        _extension("run", HERE / "train_paddleseg.py", "--config", stock, "--save_dir", work)
    else:
        _write_lists(config, work)
        script = [str(torch_python()), "-m", "benchmarks.imports.train_mmseg"]
        _run([*script, "--data", str(work), "--save_dir", str(work), "--iters", str(iters)])
    return checkpoint, config


def import_here(name: str, checkpoint: Path, config: Path, work: Path) -> dict[str, Any]:
    """Import a checkpoint, evaluate it, and compare with what `train_there` left beside it."""
    weights, scores = work / "imported.pdparams", work / "val.json"
    _extension("convert", SOURCES[name], checkpoint, "--config", config, "--output", weights)
    _extension("val", "--config", config, "--model_path", weights, "--json", scores, "--device", "cpu")
    model = paddleseg_ext.load(weights, config, device="cpu")
    return compare(work, Builder(load_config(config)).val_dataset, model, json.loads(scores.read_text("utf-8")))


def _row(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Of the table."""
    return {
        "network": name,
        "trained by": ", ".join(f"{project} {version}" for project, version in record["versions"].items()),
        "data": record["data"],
        "iterations": record["iterations"],
        "mIoU there": record["miou_there"],
        "mIoU here": record["miou_here"],
        "pixels": record["pixels"],
        "of another class": record["differing"],
        "lead there": f"{record['margin']:.1e}",
        "largest logit": f"{record['largest_logit']:.1f}",
        "largest difference of logits": f"{record['logits']:.1e}",
        "equal": "yes" if is_proved(record) else "no",
    }


def _texts(work: Path) -> dict[str, str]:
    """Of the configurations in a folder."""
    return {path.name: path.read_text("utf-8") for path in work.glob("*.yml")}


def write_config(name: str, data_root: Path | None, work: Path, iters: int) -> Path:
    """A configuration of the folder ``configs`` as one file over the data."""
    config = dict(load_config(HERE / "configs" / f"{name}.yml").dic, iters=iters)
    streets = None if data_root else read_files(STREETS).content  # no whole configuration
    if streets:
        config["model"] = {key: value for key, value in config["model"].items() if key != "num_classes"}  # CamVid's
    for section in ("train_dataset", "val_dataset"):
        root = {"dataset_root": str(data_root.resolve() if data_root else work.parent / "streets")}
        config[section] = {**(streets or config)[section], **root}
    path = work / f"{name}.yml"
    path.write_text(to_yaml(config), "utf-8")
    return path


def _write_lists(config: Path, work: Path) -> None:
    """Pictures with their labels and names of the classes, for an environment without Paddle."""
    builder = Builder(load_config(config))
    for mode, dataset in (("train", builder.train_dataset), ("val", builder.val_dataset)):
        pairs = [[str(Path(path).resolve()) for path in pair] for pair in dataset.file_list]
        (work / f"{mode}.json").write_text(json.dumps(pairs), "utf-8")
    (work / "classes.json").write_text(json.dumps(class_names(builder.val_dataset)), "utf-8")


def _extension(*words: str | Path) -> None:
    _run([sys.executable, "-c", EXTENSION, *map(str, words)], shlex.join(["paddleseg-ext", *map(str, words)]))


def _run(command: Sequence[str], title: str | None = None) -> None:
    log(title or shlex.join(command))
    subprocess.run(command, check=True, cwd=ROOT, env=clone_environment())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
