"""A trained network applied to images: label maps, logits and overlays from files, arrays and pictures of Pillow."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union

import numpy as np
from paddle import nn
from paddleseg.cvlibs import Config

from paddleseg_ext.checkpoint.save import save_model
from paddleseg_ext.config.text import to_yaml
from paddleseg_ext.data.classes import class_entries
from paddleseg_ext.data.eval_loader import stacked
from paddleseg_ext.data.image_io import to_rgb
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.lanes import predict_each
from paddleseg_ext.evaluation.predictor import Predictor, evaluating
from paddleseg_ext.evaluation.task import ImageLike, Task
from paddleseg_ext.export.exported_model import ExportedModel
from paddleseg_ext.export.exporter import REPORT
from paddleseg_ext.runtime.device import computing_on
from paddleseg_ext.visualization.draw import OPACITY, add_legend, legend_table, occurring, overlay
from paddleseg_ext.visualization.notebook import LabelMap, Picture

if TYPE_CHECKING:
    from paddleseg_ext.explanation import Explanation

Images = Union[ImageLike, Sequence[ImageLike]]
Result = TypeVar("Result")


class Segmentor:
    """A network together with its classes, and with how images are read, prepared and tested for it.

    Each method takes an image or a list of images, and gives a result or a list of them. An image is a path, an array
    (H, W, 3) in RGB or (H, W) in gray, uint8, or a picture of Pillow; see `Task.read`.

    Args:
        network: From images (N, C, h, w) to a list with the mask's logits (N, K, h, w) first.
        task: What it was trained for.
        config: Of the network, without which it cannot be saved.
        device: What the network computes on: auto, cpu, gpu, gpu:N, xpu, npu or mlu; auto picks a GPU when there is
            one.
        name: Where the network is from, for messages.
        settings: Arguments of `Predictor` that replace those of `task`.

    Attributes:
        network: The `paddle.nn.Layer`, which is only in evaluation mode while it is applied.
        device: Its name as Paddle spells it.

    Raises:
        UserError: The device is not there, or a setting is not allowed.
    """

    def __init__(
        self,
        network: nn.Layer,
        task: Task,
        config: Config | None = None,
        device: str = "auto",
        name: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        with computing_on(device) as self.device:
            self.task = replace(task, test_config=task.settings(settings or {}))
        self.network, self.config, self.name = network, config, name

    @property
    def classes(self) -> list[str]:
        """Names of the K classes, in the order of their ids."""
        return list(self.task.classes)

    @property
    def palette(self) -> np.ndarray:
        """(K, 3) uint8 RGB, the classes' colors."""
        return self.task.palette

    def predict(self, image: Images, *, batch: int = 1, **settings: Any) -> Any:
        """Class ids of each pixel, as the command `predict` finds them.

        Args:
            image: An image, or a list of them.
            batch: Images of a list that the network sees at once, where they follow each other in one size.
            **settings: Arguments of `Predictor` for this call, such as ``is_slide=True, crop_size=[1024, 512],
                stride=[768, 384]``, ``window_batch=4`` or ``precision="fp16"``; others are the configuration's.

        Returns:
            A `LabelMap` (H, W) at the image's own size, uint8, above 256 classes uint16; or a list of them.

        Raises:
            UserError: An image cannot be read, a setting is not allowed, or memory does not suffice.
        """
        pictures = (self.task.read(item) for item in _listed(image))
        return _as_given(image, self.label_maps(pictures, batch, **settings))

    def logits(self, image: Images, **settings: Any) -> Any:
        """The network's output before the largest of each pixel is chosen.

        Args:
            image: An image, or a list of them.
            **settings: As for `predict`.

        Returns:
            (K, H, W) float32 at the image's own size; or a list of them. Of a network that was exported with softmax,
            the logarithms of the probabilities.

        Raises:
            UserError: As `predict`; or the network was exported with argmax, so that it has none.
        """
        if getattr(self.network, "outputs_labels", False):
            raise UserError(
                f"{self.name}: the network was exported with output_op argmax and gives class ids only; export it with "
                "output_op none"
            )
        with self._ready(settings) as predictor:
            batches = stacked(map(self.task.prepared, map(self.task.read, _listed(image))), 1)
            with closing(predict_each(predictor, self.network, batches, logits=True)) as found:
                return _as_given(image, [np.asarray(logits)[0] for _, ((_, logits),) in found])

    def overlay(self, image: Images, opacity: float = OPACITY, legend: bool = False, **settings: Any) -> Any:
        """The image under the colors of the classes that are predicted.

        Args:
            image: An image, or a list of them.
            opacity: Of the colors: 0 for the image alone, 1 for the colors alone.
            legend: Also put a legend of the classes that occur under it.
            **settings: As for `predict`.

        Returns:
            A `Picture` (H, W, 3) uint8 RGB, without a legend of the image's own size; or a list of them.

        Raises:
            UserError: As `predict`; or `opacity` is not allowed.
        """
        if not 0 <= opacity <= 1:
            raise UserError(f"`opacity`: {opacity} is not allowed; it is 0…1")
        found = []
        for picture in map(self.task.read, _listed(image)):
            (pred,) = self.label_maps([picture], **settings)
            laid = overlay(to_rgb(picture), np.asarray(pred), self.palette, opacity)
            if legend:
                laid = add_legend(laid, occurring(pred, self.palette), self.palette, self.classes)
            found.append(laid.view(Picture))
        return _as_given(image, found)

    def legend(self) -> Picture:
        """The colors of all classes with their ids and names, (h, w, 3) uint8 RGB."""
        return legend_table(self.palette, self.classes).view(Picture)

    def explain(
        self,
        image: ImageLike,
        pixels: Sequence[Sequence[int]] | None = None,
        *,
        classes: Sequence[str | int] | None = None,
        grid: Sequence[int] = (12, 9),
    ) -> Explanation:
        """What the network attends to in an image: maps of its head's own, receptive fields, class activation.

        Args:
            image: One image.
            pixels: (x, y) of those asked about, in pixels of the image from its left upper corner; by default a grid.
            classes: Names or ids of the classes asked about; by default the 8 most predicted.
            grid: Columns and rows of the grid.

        Returns:
            An `Explanation`: numbers by section and finding, and ``save(folder)`` writes a page.

        Raises:
            UserError: The network is an export, the image cannot be read, a pixel lies outside or a class is unknown.
        """
        from paddleseg_ext.explanation import explain  # with its pages it takes time to import

        if isinstance(self.network, ExportedModel):
            raise UserError(exported_has_no_layers(self.name))
        with computing_on(self.device):
            return explain(self.network, self.task, image, pixels, classes=classes, grid_size=grid)

    def save(self, folder: str | Path) -> Path:
        """Write everything that `load` needs into a folder: weights, configuration and classes, or the export.

        Args:
            folder: Made if it is missing.

        Returns:
            The folder.

        Raises:
            UserError: The folder cannot be written or holds an export, or the network has no configuration.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(self.network, ExportedModel):
                self.network.copy_to(folder)
            elif self.config is None:
                raise UserError("`save`: the network was made without a configuration, so it cannot be made again")
            elif (folder / REPORT).is_file():
                raise UserError(f"`folder` {folder}: it holds an exported network; choose another")
            else:
                weights = {name: value.numpy() for name, value in self.network.state_dict().items()}
                save_model(folder, weights, to_yaml(self.config.dic), class_entries(self.classes, self.palette))
        except OSError as error:
            raise UserError(f"`folder` {folder}: nothing can be written there ({error.strerror})") from error
        return folder

    def label_maps(self, pictures: Iterable[np.ndarray], batch: int = 1, **settings: Any) -> list:
        """`predict` of pictures as `Task.read` gives them.

        Args:
            pictures: (H, W, 3) uint8 in BGR each, (H, W) for a network of gray images.
            batch: As for `predict`.
            **settings: As for `predict`.

        Returns:
            A `LabelMap` (H, W) of each.

        Raises:
            UserError: `batch` or a setting is not allowed, or memory does not suffice.
        """
        return list(self.each_label_map(pictures, batch, **settings))

    def each_label_map(
        self, pictures: Iterable[np.ndarray], batch: int = 1, **settings: Any
    ) -> Generator[LabelMap, None, None]:
        """`label_maps`, each as soon as it and those before it are found. Pictures are taken a little ahead of that.

        Args:
            pictures: As for `label_maps`.
            batch: As for `predict`.
            **settings: As for `predict`.

        Raises:
            UserError: As `label_maps`.
        """
        if not isinstance(batch, int) or batch < 1:
            raise UserError(f"`batch`: {batch!r} is not allowed; it is a whole number, at least 1")
        with self._ready(settings) as predictor:
            batches = stacked(map(self.task.prepared, pictures), batch)
            with closing(predict_each(predictor, self.network, batches)) as found:
                for _, results in found:
                    for pred, _ in results:
                        yield LabelMap.of(np.asarray(pred), self.task.classes, self.palette)

    @contextmanager
    def _ready(self, settings: Mapping[str, Any]) -> Iterator[Predictor]:
        """The device chosen, the network in evaluation mode, and how to apply it."""
        with computing_on(self.device):
            chosen = self.task.settings(settings)
            if isinstance(self.network, ExportedModel) and chosen.get("precision", "fp32") != "fp32":
                raise UserError("`precision`: an exported network keeps the precision it was exported in")
            with evaluating(self.network):
                yield Predictor(**chosen)

    def __repr__(self) -> str:
        return f"Segmentor({self.name or type(self.network).__name__}: {len(self.classes)} classes, {self.device})"


def refuse_export(path: str | Path) -> None:
    """Refuse a folder that `export` wrote where the network itself is needed.

    Raises:
        UserError: It is one.
    """
    if (Path(path) / REPORT).is_file():
        raise UserError(exported_has_no_layers(str(path)))


def exported_has_no_layers(name: str) -> str:
    """The sentence for it."""
    return f"{name}: an exported network has no layers to look into; give the weights that it was exported from"


def _listed(image: Images) -> Sequence[ImageLike]:
    return image if isinstance(image, (list, tuple)) else [image]  # type: ignore[list-item]


def _as_given(image: Images, found: list[Result]) -> Result | list[Result]:
    return found if isinstance(image, (list, tuple)) else found[0]
