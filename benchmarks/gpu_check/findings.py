"""What can go wrong on a GPU alone, what tells of it without one, and which steps show that it is mended."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.gpu_check import names


@dataclass(frozen=True)
class Finding:
    """A way to go wrong.

    Attributes:
        text: What would happen.
        tests: Of the suite, as ``file::function``, on a CPU.
        steps: By name; none where a CPU tells all.
    """

    text: str
    tests: tuple[str, ...]
    steps: tuple[str, ...] = ()


FINDINGS = (
    Finding(
        "SIGTERM or Ctrl-C under the launcher kills the processes before they save",
        (
            "tests/runtime/test_interrupt.py::test_two_processes_save_when_the_launcher_is_told_to_end",
            "tests/runtime/test_interrupt.py::test_repetitions_are_the_same_request",
        ),
        (names.SIGNAL,),
    ),
    Finding(
        "float16: the iteration after a skipped one dies",
        ("tests/training/test_mixed_precision.py::test_training_goes_on_after_skipped_steps",),
        (names.TESTS, names.RESUME_O1),
    ),
    Finding(
        "a run at O2 cannot be resumed",
        ("tests/training/test_mixed_precision.py::test_a_run_at_o2_resumes",),
        (names.RESUME_O2,),
    ),
    Finding(
        "TF32: export refuses, folding folds nothing, the benchmark does not measure",
        (
            "tests/export/test_tf32.py::test_exports_and_folds_as_without",
            "tests/export/test_tf32.py::test_the_benchmark_compares_in_full_float32",
            "tests/heads/test_tf32.py::test_the_switches_are_put_back",
        ),
        (names.TESTS, names.HEADS_FLOAT32, names.EXPORT, names.BENCHMARK_HEADS),
    ),
    Finding(
        "a frozen BatchNorm breaks SyncBatchNorm's backward pass",
        ("tests/training/test_param_groups.py::test_frozen_norms_are_never_synchronized",),
        (names.TESTS, names.FROZEN),
    ),
    Finding(
        "--deterministic is not",
        (
            "tests/training/test_deterministic.py::test_flags_and_resizing_are_set_where_there_is_a_gpu",
            "tests/training/test_deterministic.py::test_matrices_resize_as_paddle_does",
            "tests/training/test_deterministic.py::test_heads_resize_by_the_door",
        ),
        (names.TESTS, names.DETERMINISTIC, names.RESUME),
    ),
    Finding(
        "criss-cross attention's energies lose digits to TF32",
        (
            "tests/heads/test_tf32.py::test_criss_cross_attention_is_exact_whatever_the_energies",
            "tests/heads/test_tf32.py::test_the_head_asks_for_it",
        ),
        (names.TESTS, names.HEADS_TF32),
    ),
    Finding(
        "O2: averages and checkpoints hold rounded weights",
        ("tests/training/test_mixed_precision.py::test_checkpoints_and_averages_take_the_float32_copies",),
        (names.RESUME_O2,),
    ),
    Finding(
        "losses are computed in half precision",
        ("tests/training/test_mixed_precision.py::test_losses_are_computed_in_float32_outside_mixed_precision",),
        (names.TESTS,),
    ),
    Finding(
        "depthwise convolutions add up in half precision",
        ("tests/layers/test_precision.py::test_half_maps_are_convolved_depthwise_in_float32",),
        (names.TESTS, names.HEADS_FP16, names.HEADS_BF16),
    ),
    Finding(
        "--device gpu:N puts all processes on one card",
        ("tests/runtime/test_device.py::test_processes_of_a_launch_do_not_share_one_device",),
        (names.DEVICE,),
    ),
    Finding(
        "nodes without a shared disk resume at different iterations and hang",
        ("tests/runtime/test_distributed.py::test_nodes_that_find_different_checkpoints_stop",),
    ),
    Finding(
        "benchmark --amp: PaddleSeg without its own lists, too little warm-up",
        (
            "tests/benchmarks/test_heads.py::test_paddlesegs_side_has_the_lists_of_its_own_training",
            "tests/inspection/test_analysis.py::test_a_gpu_is_warmed_up_and_waited_for",
        ),
        (names.TESTS, names.BENCHMARK_HEADS_AMP, names.BENCHMARK_MODEL_AMP),
    ),
    Finding(
        "heads in half precision are off, overflow or lack a kernel",
        ("tests/heads/test_mixed_precision.py::test_gradients_are_those_of_float32",),
        (names.HEADS_FP16, names.HEADS_BF16),
    ),
    Finding(
        "a head is slower or larger than PaddleSeg's",
        ("tests/benchmarks/test_operator_calls.py::test_calls_are_at_most_half_as_many_again_as_paddlesegs",),
        (
            names.TESTS,
            names.BENCHMARK_HEADS_AMP,
            names.BENCHMARK_MODEL_AMP,
            names.BENCHMARK_HEADS,
            names.BENCHMARK_MODEL,
        ),
    ),
    Finding(
        "the evaluation on a GPU counts otherwise or is slower than PaddleSeg's",
        ("tests/evaluation/test_metrics.py::test_a_tensor_gives_the_counts_of_an_array_for_any_ignore_index",),
        (names.EVALUATION, names.BENCHMARK_EVAL),
    ),
)
