"""The recipe: everything a run depends on, read from YAML with dotted overrides.

    name: mine
    extends: tiny.yaml        # optional: the settings of another recipe lie below these
    teacher: qwen2.5-coder-1.5b-instruct
    align:
      lr: 2e-4

`rba show-config RECIPE` prints a recipe with every key and the value it resolves to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rba import config, document
from rba.alignment.objectives import available
from rba.alignment.settings import AlignSettings
from rba.alignment.variants import TAKEN, resolve, trained
from rba.cluster.settings import RaySettings
from rba.connect.settings import ConnectSettings
from rba.errors import RecipeError
from rba.evaluation.settings import EvaluateSettings
from rba.files import local
from rba.inputs import is_url
from rba.lm.preamble import Preamble
from rba.lm.task import TaskSettings
from rba.rewards.spec import parse_weights
from rba.speech.settings import SpeechSettings
from rba.synthesis.settings import SynthesisSettings

CONNECT = "connect"
WHOLE = ("reward",)
"""Keys whose mapping is one value: another recipe or an override replaces it, and adds nothing to it."""


@dataclass(frozen=True)
class Recipe:
    """One run from teacher to report; a section per stage.

    `teacher` and the models in the sections are registry names (`rba models list`), local folders or hub ids. The same
    recipe gives the same results in any run folder.
    """

    name: str  # names the run folder and the report
    seed: int = 0  # every random draw is derived from it
    output: str = ""  # the run folder; empty: runs/<name>
    teacher: str = "smollm2-135m-instruct"  # the text LLM that writes and answers the instructions
    model: str = CONNECT  # the SpeechLM to align: "connect" (what that stage makes), "shipped", a folder or hub id
    task: TaskSettings = field(default_factory=TaskSettings)  # what to do with what is heard; empty: answer it
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    connect: ConnectSettings = field(default_factory=ConnectSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    executor: Literal["local", "ray"] = "local"  # who does synthesis and speech: this machine, or a Ray cluster
    ray: RaySettings = field(default_factory=RaySettings)

    def __post_init__(self) -> None:
        """Fill in the run folder.

        Raises RecipeError for a name that cannot be a folder's, a negative seed, a BLEU that cannot tell the words of
        the task's language apart, an opponent that is no model, a condition "engine" with the run's own, and a method
        that compares answers where an instruction has one. A method that is not trained is no mistake: the default
        opponents hold SFT.
        """
        if not re.fullmatch(r"[\w][\w.+-]*", self.name):
            raise RecipeError("a name holds letters, digits and . _ + - only", f'name "{self.name}"', "choose another")
        if self.seed < 0:
            raise RecipeError("the seed cannot be negative", f"seed {self.seed}", "give 0 or more")
        rewards, judges = parse_weights(self.align.reward), self.evaluate.judges
        used: dict[str, Collection[str]] = {"align.reward": rewards, "evaluate.judges": judges}
        for key in (key for key, names in used.items() if "bleu" in names and self.task.bleu != "bleu"):
            what = "bleu takes what stands between spaces for a word, and this language is written without"
            raise RecipeError(what, f"{key}, task.language {self.task.language}", f"use {self.task.bleu}")
        players = {*trained(self.align), *available(), *TAKEN}
        for name in (name for name in self.evaluate.opponents if name not in players):
            fix = f"choose from {', '.join((*trained(self.align), *TAKEN))}"
            raise RecipeError("no model of this run has this name", f"evaluate.opponents: {name}", fix)
        self.evaluate.conditions.check_engine({self.speech.engine})
        self._check_compared()
        if not self.output:
            object.__setattr__(self, "output", f"runs/{self.name}")
        if is_url(self.output):
            fix = "name a folder, and put the run there with rba upload"
            raise RecipeError("a run folder is on this machine", f"output {self.output}", fix)

    def _check_compared(self) -> None:
        for name in trained(self.align):
            _, settings = resolve(self.align, name)
            spoken = self.speech.voices if not settings.mix else 2  # other runs may have more voices
            if settings.comparing and settings.answers * min(settings.voices or spoken, spoken) < 2:
                what = f"{name} compares answers to an instruction with each other, and here each has only one"
                where = f"align.answers 1, align.voices {settings.voices}, speech.voices {self.speech.voices}"
                raise RecipeError(what, where, "give it 2 or more answers, or 2 or more voices")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return local(self.output)

    @property
    def cluster(self) -> RaySettings | None:
        """The cluster on which synthesis and speech are done; None for this machine."""
        return self.ray if self.executor == "ray" else None

    @property
    def teacher_preamble(self) -> Preamble:
        """What stands before and around a request that the teacher answers: its own turns, and the task."""
        return self.task.teaching(self.synthesis.answer_preamble)

    def to_yaml(self) -> str:
        """Every key with its value: a recipe that loads as this one."""
        return document.dump(config.to_tree(self))


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and lay `key=value` overrides over it, e.g. `load_recipe("tiny.yaml", ["align.lr=2e-4"])`.

    Raises RecipeError for a missing file, faulty YAML, an unknown key, or a value that cannot work.
    """
    path = local(path)
    tree = {"name": path.stem, **_read(path)}
    return config.build(Recipe, config.override(tree, overrides, WHOLE))


def _read(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe's tree over the one it extends. Name and run folder are never inherited: they are the run's own."""
    here = path.resolve()
    if here in below:
        raise RecipeError("recipes extend each other in a circle", str(path), "remove one of the extends lines")
    tree = document.read(path)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise RecipeError("extends names one other recipe", f"extends in {path}", "for example extends: tiny.yaml")
    inherited = _read(path.parent / local(parent), (*below, here))
    return config.merge({k: v for k, v in inherited.items() if k not in ("name", "output")}, tree, WHOLE)
