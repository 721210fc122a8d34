"""The settings of the align stage. Importing this loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from rba.alignment.objectives import available
from rba.alignment.objectives.settings import (
    GkdSettings,
    GrpoSettings,
    KdSettings,
    OpdSettings,
    PpoSettings,
    RbaOpdSettings,
    RlooSettings,
    TarsSettings,
)
from rba.alignment.objectives.settings import check as _check
from rba.alignment.variants import check as check_variants
from rba.errors import RecipeError
from rba.lm.sampling import Sampling
from rba.rewards.spec import parse_weights
from rba.services.service import is_service


@dataclass(frozen=True)
class LoraSettings:
    """The adapter on the LLM."""

    rank: int = 16  # 0 = none: only the connector is trained
    alpha: int = 32  # the adapter's output is scaled by alpha / rank
    dropout: float = 0.0  # on the adapter's input, in updates; the model's own stays off
    targets: str | tuple[str, ...] = "all-linear"  # peft's target_modules: "all-linear", a regex or a list of names


@dataclass(frozen=True)
class AdaptiveSettings:
    """When the learning rate backs off from its schedule and comes back (`rba.alignment.schedule`)."""

    enabled: bool = True
    backoff: float = 0.7  # factor on the multiplier at each alarm
    recover: float = 1.05  # factor when all is well, up to a multiplier of 1
    floor: float = 0.1  # the multiplier never falls below this
    drift_target: float = 0.3  # nats a token from the reference at which the alarm sounds
    drift_every: int = 5  # updates between two measurements of the drift; 0 = it is never measured
    drift_answers: int = 8  # held-out self-samples of the reference that the drift is measured on
    smooth: float = 0.8  # weight of the past in the moving averages of scores and of their jumps
    tolerance: float = 1.5  # how many usual jumps a score's average must fall before it counts as a regress


@dataclass(frozen=True)
class ValidationSettings:
    """How the checkpoint is picked and when training stops early.

    The reward is the aim itself, but noisy: a hundred answers can hardly tell checkpoints 0.02 apart, and with fewer
    the pick is chance. The likelihood is far steadier, and favours what the cross-entropy term teaches.
    """

    every: int = 20  # updates between two validations; 0 = none: the last weights are kept
    groups: int = 32  # instructions, each spoken by one of its voices
    by: Literal["reward", "likelihood"] = "reward"  # of greedy answers | log-prob a token of the teacher's answer
    patience: int = 5  # validations without a new best before training stops; 0 = it never stops early


@dataclass(frozen=True)
class AlignSettings:
    """How the SpeechLM is aligned; all methods share data, order, updates and optimiser.

    `ce_reduction` "sum" is the paper's Eq. 1 and the default for a reason: a preference term moves the *summed*
    log-prob of an answer by at most beta (0.1) whatever its length, and the sum moves it by lam (0.2), so the two stay
    balanced. With "mean" the anchor shrinks with the answer (0.2 / 48 for 48 tokens) and the reference-free preference
    term, which alone would push both answers down without end, has nothing to hold it.
    """

    methods: tuple[str, ...] = ("sft", "rba-single", "rba-group")  # each is trained from the same start
    # the same, under other settings, by names of their own: {group-sharp: {method: rba-group, beta: 0.5}}
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    mix: tuple[str, ...] = ()  # other run folders, whose training instructions are learnt beside this run's
    instructions: int = 0  # learnt from, at most; 0: all that the updates reach
    voices: int = 0  # of an instruction, learnt from; 0: all
    prompt: Literal["speech", "text"] = "speech"  # what is answered in training: clips | the words typed, a control
    steps: int = 60  # updates
    groups_per_step: int = 4  # instructions an update, each with all its voices
    lr: float = 1e-4  # peak learning rate of the adapter
    connector_lr: float = 2e-5  # peak learning rate of the connector, where it is trained
    warmup: float = 0.1  # share of the updates
    weight_decay: float = 0.01
    clip: float = 1.0  # largest gradient norm
    beta: float = 0.1  # sharpness of the preference terms
    lam: float = 0.2  # weight of the cross-entropy term beside the group's preference term
    lam_single: float | None = None  # the same for rba-single; null: lam
    ce_reduction: Literal["sum", "mean"] = "sum"  # over the tokens of an answer
    use_reference: bool = False  # log-ratios to the initial model instead of plain log-probs; one more forward pass
    tie_eps: float = 1e-6  # a group whose best and worst reward differ by no more has no pair
    pairing: Literal["best-worst", "all"] = (
        "best-worst"  # of a group's answers: the paper's pair | every pair with a gap
    )
    # ranks a group's answers and validates: "recall + 0.5*similarity - deaf", {recall: 1, deaf: -1}, "module:function"
    reward: str | dict[str, float] = "recall"
    reward_scaling: Literal["none", "batch", "group"] = (
        "none"  # z-scores of parts: over those scored together | a group
    )
    embedder: str = "all-minilm-l6-v2"  # sentence embedder of the reward "similarity"
    reward_model: str = ""  # sequence-classification model of the reward "reward-model"
    judge: str = ""  # LLM of the rewards "judge" and "judge-likelihood"; empty: the teacher
    # how self-samples are drawn; much hotter than the teacher's answers, they are so unlikely beside them that the
    # reference-free rba-single has nothing left to prefer (watch pairs/live): draw both alike, or use a reference
    sample: Sampling = field(default_factory=Sampling)
    answers: int = 1  # self-samples a voice; they share one pass over its prompt
    refresh: Literal["once", "per_round", "online"] = "once"  # from the initial model | every round | every update
    round_steps: int = 20  # updates a round, with "per_round"
    max_response: int = 64  # tokens of a teacher's answer that are trained on; a longer one is cut, without its end
    token_teacher: str = ""  # who gives token distributions: empty = the SpeechLM's own LLM as it was, reading the text
    kd: KdSettings = field(default_factory=KdSettings)
    gkd: GkdSettings = field(default_factory=GkdSettings)
    opd: OpdSettings = field(default_factory=OpdSettings)
    rba_opd: RbaOpdSettings = field(default_factory=RbaOpdSettings)
    grpo: GrpoSettings = field(default_factory=GrpoSettings)
    rloo: RlooSettings = field(default_factory=RlooSettings)
    ppo: PpoSettings = field(default_factory=PpoSettings)
    tars: TarsSettings = field(default_factory=TarsSettings)
    # of the LLM: an adapter beside its weights, as `lora` says | all weights of its blocks (full fine-tuning)
    tuning: Literal["lora", "full"] = "lora"
    lora: LoraSettings = field(default_factory=LoraSettings)
    train_connector: bool = False
    adaptive: AdaptiveSettings = field(default_factory=AdaptiveSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    # of the frozen LLM and of autocast (the adapter is float32); auto: bfloat16 where the machine multiplies it
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    # the LLM's frozen blocks: as dtype says | packed in 4 bits (QLoRA, needs rba[quantize]); the model stays so
    quantize: Literal["none", "nf4"] = "none"
    batch_tokens: int = 2048  # padded tokens in one forward and backward pass: the gradient is summed over these
    # among several processes: each holds all of the LLM's frozen weights and of masters and moments | its share
    sharding: Literal["none", "fsdp"] = "none"
    gradient_checkpointing: bool = False  # blocks run again in the backward pass: less memory, a third more work
    rollout_batch: int = 64  # answers generated at once
    rollout_server: str = ""  # vLLM that draws the self-samples, openai:http://host:8000/v1#model; empty: drawn here
    features_in_memory: float = 8.0  # GiB of encoded speech held in memory; more is read from its files as needed
    checkpoint_minutes: float = 5.0
    # of divided masters and moments: whole, by one process | each process writes its share
    checkpoint: Literal["full", "sharded"] = "full"

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        known = available()
        for method in self.methods:
            _check(method in known, f"methods: {method}", f"choose from {', '.join(known)}")
        _check(len(set(self.methods)) == len(self.methods), "methods", "name each method once")
        _check(len(set(self.mix)) == len(self.mix), "mix", "name each run once")
        for key in (
            "steps",
            "groups_per_step",
            "round_steps",
            "max_response",
            "batch_tokens",
            "rollout_batch",
            "answers",
        ):
            _check(getattr(self, key) >= 1, key, "give 1 or more")
        for key in ("lr", "connector_lr", "beta", "clip"):
            _check(getattr(self, key) > 0, key, "give a number above 0")
        for key in (
            "instructions",
            "voices",
            "lam",
            "weight_decay",
            "tie_eps",
            "checkpoint_minutes",
            "features_in_memory",
        ):
            _check(getattr(self, key) >= 0, key, "give 0 or more")
        _check(self.prompt == "speech" or not self.train_connector, "prompt", "a connector is trained on speech alone")
        _check(self.lam_single is None or self.lam_single >= 0, "lam_single", "give 0 or more, or null")
        _check(0 <= self.warmup < 1, "warmup", "give a share from 0 to below 1")
        _check(self.sample.temperature > 0, "sample.temperature", "self-samples are drawn: give a temperature above 0")
        within = {"dpo": True, "grpo": self.grpo.group == "voice", "rloo": self.rloo.group == "voice"}
        for method in (name for name in self.methods if within.get(name)):
            _check(self.answers > 1, "answers", f"{method} compares answers to one voice: give 2 or more")
        self._check_parts()
        self._check_reward()
        check_variants(self)

    def _check_reward(self) -> None:
        try:
            weights = parse_weights(self.reward)
        except RecipeError as error:
            raise RecipeError(error.what, f"align.reward: {error.where}", error.fix) from error
        if "reward-model" in weights and not self.reward_model:
            fix = "set it to a sequence-classification model: a registry name, a local folder or a hub id"
            raise RecipeError('the reward "reward-model" needs a model', "align.reward_model", fix)
        if self.reward_scaling != "none" and self.validation.every and self.validation.by == "reward":
            fix = "set align.validation.by=likelihood, or align.reward_scaling=none"
            raise RecipeError("scaled rewards cannot be compared between validations", "align.reward_scaling", fix)

    def _check_parts(self) -> None:
        a, v = self.adaptive, self.validation
        _check(self.quantize == "none" or self.sharding == "none", "quantize", "packed weights cannot be divided")
        whole = self.checkpoint == "full" or self.sharding != "none"
        _check(whole, "checkpoint", "every process has the whole state: set full, or divide it with sharding: fsdp")
        served = not self.rollout_server or is_service(self.rollout_server)
        _check(served, "rollout_server", "write openai:http://host:8000/v1#model")
        packed = self.quantize != "none" and bool(self.rollout_server)
        _check(not packed, "rollout_server", "a server draws from unpacked weights: set quantize: none")
        full = self.tuning == "full"
        _check(not full or self.quantize == "none", "tuning", "weights packed in 4 bits cannot be trained: set lora")
        _check(not full or not self.rollout_server, "tuning", "a server takes adapters alone: set lora")
        _check(self.trains_llm or self.train_connector, "lora.rank", "give 1 or more, or train_connector: true")
        _check(self.lora.rank >= 0 and 0 <= self.lora.dropout < 1, "lora", "rank >= 0, 0 <= dropout < 1")
        _check(0 < a.backoff < 1 < a.recover, "adaptive", "0 < backoff < 1 < recover")
        _check(0 < a.floor <= 1 and 0 <= a.smooth < 1, "adaptive", "0 < floor <= 1, 0 <= smooth < 1")
        _check(a.drift_target > 0 and a.drift_every >= 0, "adaptive", "drift_target > 0, drift_every >= 0")
        _check(a.drift_answers >= 1 and a.tolerance >= 0, "adaptive", "drift_answers >= 1, tolerance >= 0")
        _check(v.every >= 0 and v.groups >= 1 and v.patience >= 0, "validation", "every, patience >= 0; groups >= 1")

    @property
    def trains_llm(self) -> bool:
        """Whether anything of the LLM is trained, or the connector alone."""
        return self.tuning == "full" or self.lora.rank > 0

    @property
    def single_weight(self) -> float:
        """The weight of the cross-entropy term in rba-single."""
        return self.lam if self.lam_single is None else self.lam_single
