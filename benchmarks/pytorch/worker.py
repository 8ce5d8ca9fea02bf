"""mmsegmentation's side: a process that runs a step of a network whenever a line of standard input says so.

Every line is an object in JSON. ``{"folder": …, "sections": …}`` builds a network and writes its weights and its output
to that folder; ``{"step": "training"}`` runs one step of it. When it is done, a line of standard output tells versions,
or why PyTorch refuses the step.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import mmseg
import numpy as np
import torch

from tests.data.mmseg_peer import load_models, randomize

MODELS = load_models()
VERSIONS = {"torch": torch.__version__, "mmsegmentation": mmseg.__version__}
SEED = 0
INPUTS, WEIGHTS, OUTPUT = "inputs.npz", "weights.npz", "output.npy"


class Network(torch.nn.Module):
    """A backbone where there is one, a neck where there is one, a head, and an auxiliary head in training.

    mmsegmentation's own segmentor leaves the resizing to its loss; here every mask has the image's size, as ours.
    """

    def __init__(self, sections: dict[str, Any]) -> None:
        super().__init__()
        self.parts = list(sections)
        for name, section in sections.items():
            self.add_module(name, MODELS.build(_tuples(section)))
        self.align_corners = self.decode_head.align_corners

    def forward(self, inputs: list[torch.Tensor], size: tuple[int, int]) -> list[torch.Tensor]:
        feats = self.backbone(inputs[0]) if "backbone" in self.parts else inputs
        if "neck" in self.parts:
            feats = self.neck(tuple(feats[1:]))
        outputs = self.decode_head(feats)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        outputs = [*outputs, self.auxiliary_head(feats)] if self.training else outputs[:1]
        resizing = {"size": size, "mode": "bilinear", "align_corners": self.align_corners}
        return [torch.nn.functional.interpolate(out, **resizing) if out.ndim == 4 else out for out in outputs]


class Side:
    """The network of the moment and what it is given."""

    def build(self, folder: Path, sections: dict[str, Any]) -> None:
        """A network of random weights; they and its output in evaluation are written to the folder of its inputs."""
        self.net = None  # frees its memory
        self.net = Network(sections)
        randomize(self.net, SEED)
        with np.load(folder / INPUTS) as arrays:
            self.size = tuple(int(side) for side in arrays["size"])
            self.inputs = [torch.from_numpy(arrays[f"input{i}"]) for i in range(len(arrays) - 1)]
        np.savez(folder / WEIGHTS, **{name: value.numpy() for name, value in self.net.state_dict().items()})
        self.net.eval()
        with torch.no_grad():
            np.save(folder / OUTPUT, self.net(self.inputs, self.size)[0].numpy())

    def step(self, mode: str) -> None:
        """Evaluate, or go forth and back, as the other side does."""
        training = mode == "training"
        self.net.train(training)
        if "backbone" not in self.net.parts:
            for value in self.inputs:
                value.requires_grad_(training)
        if not training:
            with torch.no_grad():
                self.net(self.inputs, self.size)
            return
        sum(out.mean() for out in self.net(self.inputs, self.size)).backward()
        self.net.zero_grad()
        for value in self.inputs:
            value.grad = None


def main() -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    side = Side()
    for line in sys.stdin:
        request = json.loads(line)
        if "folder" in request:
            side.build(Path(request["folder"]), request["sections"])
        try:
            if "step" in request:
                side.step(request["step"])
            answer = VERSIONS
        except ValueError as error:  # of one image, PyTorch does not train a BatchNorm behind global pooling
            answer = {"refused": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _tuples(value: Any) -> Any:
    """What JSON made lists of, which mmsegmentation checks for."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    main()
