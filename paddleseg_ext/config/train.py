"""The section `train:` of a configuration: how a run goes, besides what it trains on.

Each entry is written once, here: its default, its range, what it is for and the flag that overrides it are the field's
metadata, from which the command line makes its flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

from paddleseg_ext.config.values import MOST_READERS, Allowed
from paddleseg_ext.data.dataloader import LOADER_TIMEOUT
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.metrics import Metrics
from paddleseg_ext.registry import unknown_argument
from paddleseg_ext.runtime.amp import LEVELS, TYPES
from paddleseg_ext.runtime.device import READERS


def _entry(
    kind: type,
    default: Any,
    text: str,
    group: str,
    *,
    changes_weights: bool = False,
    flag: str | None = None,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    at_most: float | None = None,
) -> Any:
    """A field of `TrainConfig`.

    Args:
        kind: Type of the values; None is allowed where it is the default.
        default: Where the section has no such key.
        text: What it is, for ``--help``.
        group: Of the flags in ``--help``: run, data or learning.
        changes_weights: Another value gives other weights, so a resume compares it.
        flag: Name of the flag, where it is not the key's.
        at_least: Smallest value.
        above: What values exceed.
        below: What they stay under.
        choices: The only values.
        at_most: Largest value.
    """
    allowed = Allowed(kind, at_least=at_least, above=above, below=below, choices=choices, at_most=at_most)
    told = {"text": text, "group": group, "changes_weights": changes_weights, "flag": flag}
    return field(default=default, metadata={"allowed": allowed, **told})


@dataclass(frozen=True)
class TrainConfig:
    """The section `train:`, every key of it.

    Raises:
        UserError: A value is of another kind or outside its range.
    """

    seed: int | None = _entry(
        int, None, "makes the run reproducible; default: a random one, printed", "run", changes_weights=True, at_least=0
    )
    deterministic: bool = _entry(bool, False, "on a GPU too, use operations that always add up alike", "run")
    autotune: bool = _entry(
        bool, False, "on a GPU, time Paddle's algorithms in the first iterations and keep the fastest", "run"
    )
    save_interval: int = _entry(int, 1000, "iterations between checkpoints", "run", at_least=1)
    keep_checkpoint_max: int = _entry(int, 5, "checkpoints to keep; 0 keeps all", "run", at_least=0)
    log_iters: int = _entry(int, 10, "iterations between progress lines", "run", at_least=1)
    do_eval: bool = _entry(bool, False, "evaluate at each checkpoint and keep the best model", "run")
    metric: str = _entry(
        str, "miou", "what the best model is best in", "run", flag="best_metric", choices=tuple(Metrics.MEANS)
    )
    early_stop_intervals: int | None = _entry(
        int, None, "stop after so many evaluations in a row without improvement", "run", at_least=1
    )
    accumulate: int = _entry(
        int,
        1,
        "batches per iteration, for an effective batch that many times larger",
        "data",
        changes_weights=True,
        at_least=1,
    )
    num_workers: int | None = _entry(
        int, None, f"processes that read data; {READERS}", "data", at_least=0, at_most=MOST_READERS
    )
    loader_timeout: int = _entry(
        int, LOADER_TIMEOUT, "seconds to wait for a batch before a run ends for want of data", "data", at_least=1
    )
    val_batch_size: int = _entry(
        int, 1, "images of one size that the network sees at once in evaluations", "data", at_least=1
    )
    skip_nonfinite: int = _entry(
        int, 0, "iterations to skip, at most, for a loss that is not finite", "data", changes_weights=True, at_least=0
    )
    head_lr: float = _entry(
        float, 1.0, "learning rate outside the backbone, relative to it", "learning", changes_weights=True, above=0
    )
    no_decay: bool = _entry(
        bool, False, "no weight decay on biases and normalization layers", "learning", changes_weights=True
    )
    freeze: tuple[str, ...] = _entry(
        tuple, (), "patterns of parameters that do not learn, e.g. 'backbone.*'", "learning", changes_weights=True
    )
    clip_norm: float | None = _entry(
        float, None, "longest gradient; a longer one is shortened", "learning", changes_weights=True, above=0
    )
    ema: bool = _entry(
        bool,
        False,
        "average the weights over time; evaluate and keep the average",
        "learning",
        changes_weights=True,
        flag="use_ema",
    )
    ema_decay: float = _entry(
        float,
        0.999,
        "weight of the past in that average",
        "learning",
        changes_weights=True,
        at_least=0,
        below=1,
    )
    precision: str = _entry(
        str,
        "fp32",
        "fp16 or bf16 compute in mixed precision on a GPU",
        "learning",
        changes_weights=True,
        choices=tuple(TYPES),
    )
    amp_level: str = _entry(
        str, "O1", "O2 keeps the weights in half precision, too", "learning", changes_weights=True, choices=LEVELS
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.metadata["allowed"].kind is tuple:  # YAML has lists, and one word is meant as a list of it
                value = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
                object.__setattr__(self, entry.name, value)
            if wrong := problem(entry, value):
                raise UserError(f"train.{entry.name}: {wrong}")

    @classmethod
    def of(cls, section: Mapping[str, Any] | None) -> TrainConfig:
        """From the section as YAML gives it.

        Raises:
            UserError: A key is unknown, or as the constructor.
        """
        section = {} if section is None else section
        if not isinstance(section, Mapping):
            raise UserError(f"train: {section!r} is not allowed; it is a section of keys and values")
        names = [entry.name for entry in fields(cls)]
        for key in section:
            if key not in names:
                raise UserError(unknown_argument("train", str(key), names))
        return cls(**section)

    def check_used(self) -> None:
        """Refuse entries that do nothing, as their writer expects otherwise, and those that exclude each other.

        Raises:
            UserError: One is set that another, which is not, makes work; or two that contradict each other.
        """
        if self.autotune and self.deterministic:
            raise UserError(
                "`autotune` takes whichever operations are the fastest today, `deterministic` those that always add up "
                "alike; leave one of them out"
            )
        for name, needs, works in (
            ("early_stop_intervals", "do_eval", self.do_eval),
            ("ema_decay", "use_ema", self.ema),
            ("amp_level", "precision", self.precision != "fp32"),
        ):
            if not works and getattr(self, name) != getattr(TrainConfig, name):
                raise UserError(f"`{name}` does nothing without `{needs}`; add that, or leave it out")

    def to_section(self) -> dict[str, Any]:
        """All entries as YAML keeps them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


TrainConfig.__doc__ = f"{TrainConfig.__doc__}\n    Attributes:\n" + "".join(
    f"        {entry.name}: {entry.metadata['text']}\n" for entry in fields(TrainConfig)
)  # as `--help` tells them

CHANGES_WEIGHTS = tuple(entry.name for entry in fields(TrainConfig) if entry.metadata["changes_weights"])


def problem(entry: Field, value: Any) -> str | None:
    """Why an entry cannot have a value, or None; see `Allowed.problem`."""
    if value is None and entry.default is None:
        return None
    return entry.metadata["allowed"].problem(value)
