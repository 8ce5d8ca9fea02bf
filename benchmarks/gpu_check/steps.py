"""Steps, what comes of them, and running them one after the other within the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.gpu_check.room import Failed, Room, Skipped

PASS, FAIL, SKIP = "pass", "fail", "skip"
LEAST = 5.0  # seconds below which nothing is begun


@dataclass(frozen=True)
class Step:
    """Something to find out.

    Attributes:
        name: For the report, where it is unique.
        seconds: That it may take at least, if the time is enough for all.
        run: Returns the figures in a few words; raises `Failed` or `Skipped`.
    """

    name: str
    seconds: float
    run: Callable[[Room], str]


@dataclass(frozen=True)
class Outcome:
    """What came of a step: one of the three words above, seconds, figures and why."""

    step: Step
    result: str
    seconds: float
    figures: str = ""
    reason: str = ""


def run_steps(steps: Sequence[Step], room: Room, end: float, tell: Callable[[str], None]) -> list[Outcome]:
    """Run all steps; whatever one raises is its own failure.

    A step may also take what is not reserved for those after it; where less is left than the steps ask for, each gets
    its share of it.

    Args:
        steps: In order.
        room: Where and how they run; its deadline is set here.
        end: By `time.monotonic`, of the last.
        tell: Is handed a line before and after each step.
    """
    outcomes = []
    for number, step in enumerate(steps):
        started = time.monotonic()
        left, asked = end - started, sum(later.seconds for later in steps[number:])
        room.deadline = end - (asked - step.seconds) * min(1.0, left / asked)
        tell(f"[{number + 1}/{len(steps)}] {step.name} (at most {max(room.deadline - started, 0):.0f} s)")
        outcome = _run(step, room, started)
        outcomes.append(outcome)
        tell(f"      {outcome.result}  {outcome.seconds:.0f} s  {outcome.figures or outcome.reason}")
    return outcomes


def status(outcomes: Sequence[Outcome]) -> int:
    """Exit status: 1 if a step failed, otherwise 0."""
    return int(any(outcome.result == FAIL for outcome in outcomes))


def _run(step: Step, room: Room, started: float) -> Outcome:
    figures = reason = ""
    if room.left() < LEAST:
        result, reason = FAIL, f"not begun: {max(room.left(), 0):.0f} s were left for it; give more minutes"
    else:
        try:
            result, figures = PASS, step.run(room)
        except Skipped as why:
            result, reason = SKIP, str(why)
        except Failed as why:
            result, reason = FAIL, str(why)
        except Exception as error:  # whatever it is, the other steps go on
            result, reason = FAIL, f"{type(error).__name__}: {error}"
    return Outcome(step, result, time.monotonic() - started, figures, reason)
