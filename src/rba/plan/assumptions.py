"""What a plan cannot know beforehand: each number with where it was measured. Importing this loads nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from rba import config
from rba.errors import RecipeError


@dataclass(frozen=True)
class Assumptions:
    """Ratios that depend on data and rates that depend on machines; all are printed, all can be given.

    "Measured" is measured on runs of `recipes/evidence-tiny.yaml` (seeds 0 and 1: SmolLM2-135M answers in one short
    sentence, then of at most 48 tokens, hibari speaks in moderate acoustics) unless another place is named. What was
    never measured here says so.
    """

    # synthesis
    answered: float = 0.66  # share of drawn requests that pass the filters and are answered: 505 of 768
    kept: float = 0.29  # share of drawn requests that become instructions: 208 of 717, those for full splits left out
    drawn_tokens: float = 27.0  # tokens of a drawn request: 25.6 and 28.4; some run to synthesis.query_tokens
    words: float = 15.0  # words of a kept instruction: 14.7 and 15.1 (7.2 with recipes/qa.yaml)
    tokens_a_word: float = 1.21  # tokens of a word: 1.20 to 1.21
    teacher_fill: float = 0.82  # a teacher's answer over synthesis.answer.max_new_tokens: 39.1 and 39.5 of 48
    reference_fill: float = 0.65  # the same of answers that were kept, which have ended: 30.9 and 32.2 of 48
    own_fill: float = 0.97  # the SpeechLM's answer over its limit before alignment: 46.8 of 48 (recipes/tiny.yaml)
    # speech
    seconds_a_word: float = 0.39  # seconds of speech a word: 0.387 and 0.396 (0.447 with recipes/qa.yaml)
    flac_bytes: float = 15_750.0  # bytes of a second of speech in a shard: 15,809 and 15,706
    hibari_speed: float = 80.0  # seconds of speech a core-second: 672 utterances in 23 s on two cores
    served_speed: float = 10.0  # seconds of speech a GPU-second of a speech server: not measured
    gate_passes: float = 0.66  # share of renderings that the gate lets pass at a WER of 0.05 (docs/results)
    # prompts
    frame_before: int = 24  # rows of the chat frame before what is said: SmolLM2's template
    frame_after: int = 6  # and after it
    audio_rows: float | None = None  # rows of an audio LM's prompt a second of speech; none: as its family makes them
    padded_seconds: float = 30.0  # what an audio LM's tower hears of every clip, shorter ones padded: Whisper's window
    # machines: peak rates, and how much of them is reached
    gpu_tflops: float = 989.0  # of a GPU, dense bfloat16: data sheet of the H100 SXM
    gpu_gbs: float = 3350.0  # GB/s that a GPU reads of its memory: the same
    gpu_gib: float = 80.0  # memory of a GPU
    process_gib: float = 0.6  # GiB of a process before it loads a model: 0.4 to 1.0, the connect stage of those runs
    core_tflops: float = 0.038  # of a core with AVX2 in float32: `rba.lm.flops.matmul_rate`
    core_gbs: float = 6.0  # GB/s that a core reads of memory that two share: `--probe`
    train_reached: float = 0.4  # of a core's peak, in updates: matmul_utilisation 0.33 to 0.55 (recipes ci and qa)
    gpu_train_reached: float = 0.25  # of a GPU's: 0.24 to 0.29 on an H200 (docs/results), blocks run again counted
    draw_reached: float = 0.2  # of the floor (products or reading, whichever binds), in drawing: 0.20 and 0.28 there
    read_reached: float = 0.4  # of the peak, in passes without a gradient: not measured
    server_gpus: int = 4  # GPUs of a server, for the time on the clock: --tensor-parallel-size in recipes/paper.yaml
    served_reached: float = 0.5  # of the floor, behind a server that batches: not measured

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        for field in fields(self):
            value = getattr(self, field.name)
            share = field.name.endswith(("fill", "reached", "passes")) or field.name in SHARES
            if value is not None and not (0 < value <= 1 if share else 0 < value < float("inf")):
                fix = "give a share above 0, up to 1" if share else "give a number above 0"
                raise RecipeError("this value cannot work", f"--assume {field.name}={value}", fix)
        if self.kept > self.answered:
            raise RecipeError("more is kept than is answered", f"--assume kept={self.kept}", "give --assume answered=")


SHARES = ("answered", "kept")


def assume(assignments: Sequence[str]) -> Assumptions:
    """The assumptions with `name=value` laid over them. Raises RecipeError for an unknown name or a bad value."""
    try:
        return config.build(Assumptions, config.override({}, assignments))
    except RecipeError as error:
        where = error.where if error.where.startswith("--assume") else f"--assume {error.where}"
        raise RecipeError(error.what, where, error.fix) from error
