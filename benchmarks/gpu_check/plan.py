"""The steps in order, those that others build on first.

The seconds that a step may take at least are meant for a GPU; together they leave some of the 20 minutes for those that
need more.
"""

from __future__ import annotations

from functools import partial

from benchmarks.gpu_check import comparisons, deployment, environment, heads, names, pairs, suite, training
from benchmarks.gpu_check.room import Machine
from benchmarks.gpu_check.steps import Step


def steps(machine: Machine) -> list[Step]:
    """All of them, the same on every machine; what one cannot tell there it says itself."""
    contract, resume, measure = heads.step, training.kill_and_resume, comparisons.benchmark
    # float16 at O1, so that the loss's scale is resumed; bfloat16 at O2, whose 7 bits need the float32 copies most
    half = "bf16" if machine.bfloat16 or machine.small else "fp16"
    twice = training.deterministic_twice
    others = ("ccnet",) if machine.small else ("deeplabv3plus", "dmnet", "fastfcn", "encnet", "ccnet")
    mixed = () if machine.small else ("--precision", "fp16")
    return [
        Step(names.ENVIRONMENT, 40, environment.step),
        Step(names.TESTS, 60, suite.marked_tests),
        Step(names.HEADS_FLOAT32, 30, partial(contract, "float32")),
        Step(names.HEADS_TF32, 30, partial(contract, "tf32")),
        Step(names.HEADS_FP16, 30, partial(contract, "float16")),
        Step(names.HEADS_BF16, 30, partial(contract, "bfloat16")),
        Step(names.RESUME, 60, partial(resume, "fp32", "O1")),
        Step(names.RESUME_O1, 60, partial(resume, "fp16", "O1")),
        Step(names.RESUME_O2, 60, partial(resume, half, "O2")),
        Step(names.DETERMINISTIC, 120, partial(twice, others, mixed)),
        Step(names.FROZEN, 30, pairs.frozen),
        Step(names.SIGNAL, 50, pairs.told_to_end),
        Step(names.DEVICE, 20, pairs.numbered_device),
        Step(names.EXPORT, 50, deployment.export),
        Step(names.EVALUATION, 40, deployment.evaluation),
        Step(names.BENCHMARK_HEADS_AMP, 70, partial(measure, "heads", True)),
        Step(names.BENCHMARK_MODEL_AMP, 90, partial(measure, "model", True)),
        Step(names.BENCHMARK_HEADS, 60, partial(measure, "heads", False)),
        Step(names.BENCHMARK_MODEL, 70, partial(measure, "model", False)),
        Step(names.BENCHMARK_EVAL, 70, partial(measure, "eval", False)),
        Step(names.EXPERIMENTS, 60, comparisons.experiments),
    ]
