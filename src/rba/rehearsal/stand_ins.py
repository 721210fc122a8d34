"""What stands in for the models, servers and clips that a recipe names: tiny and random, of the same classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from rba.connect.settings import part_name
from rba.data.text_lines import text_lines, text_row
from rba.errors import ModelError
from rba.inputs import given, is_url
from rba.models import SHIPPED, folder_of
from rba.models.families import FAMILIES
from rba.plan.shapes import Shapes
from rba.rehearsal.mixed import INSTRUCTIONS, VOICES, save_mixed
from rba.services.service import PREFIX, is_service

_DROPPED = ("key_env", "price_in", "price_out", "retries")
"""Options of a server that mean nothing to one that stands in."""
WEIGHTLESS = ("hibari", "espeak")
"""Engines that are themselves in a dry run, as they have no weights to fetch."""
_ROWS = 6  # of a corpus file: of requests, and of all else
_TEXTS = 12  # where a file of texts is not here


@dataclass
class StandIns:
    """Makes stand-ins in `folder`, one for each name of a kind; those of served models are served at `url`.

    A server of self-samples is at `vllm_url`. `told` says what stands for what, by the name that the recipe has;
    `names` are its names by the stand-ins'.
    """

    folder: Path
    url: str
    vllm_url: str = ""
    shapes: Shapes = field(default_factory=Shapes)
    told: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    _known: dict[str, list[str]] = field(default_factory=dict)  # names by kind, in the order of their stand-ins

    def llm(self, name: str) -> str:
        """A text LLM that writes requests, here or behind the server."""
        from rba.testing.tiny_writer import save_tiny_writer

        place = self._place("llm", name, save_tiny_writer)
        if is_service(name):
            return self._tell(name, self._served(name, tokenizer=place), "a tiny Llama behind a server on this machine")
        return self._tell(name, place, "a tiny Llama")

    def judge(self, name: str) -> str:
        """An LLM that writes marks, here or behind the server."""
        from rba.testing.tiny_writer import MARKS, save_tiny_writer

        if is_service(name):
            return self.llm(name)
        place = self._place("judge", name, lambda place: save_tiny_writer(place, walk=MARKS))
        return self._tell(name, place, "a tiny Llama that writes marks")

    def embedder(self, name: str) -> str:
        """A sentence embedder."""
        from rba.testing.tiny_embedder import save_tiny_embedder

        return self._tell(name, self._place("embedder", name, save_tiny_embedder), "a tiny BERT")

    def reward_model(self, name: str) -> str:
        """A reward model: ArmoRM for one, else a classifier on a Llama."""
        from rba.testing.tiny_reward_model import save_tiny_reward_model

        shape = self.shapes.find(name, "reward")
        kind, words = ("armorm", "a tiny ArmoRM") if shape and shape.family == "ArmoRM" else ("classifier", _CLASSIFIER)
        place = self._place(kind, name, lambda place: save_tiny_reward_model(place, kind=kind))
        return self._tell(name, place, words if shape else f"{words} ({_UNKNOWN})")

    def recogniser(self, name: str) -> str:
        """A speech recogniser of the same family, or the server."""
        from rba.testing.tiny_recogniser import save_tiny_recogniser

        if is_service(name):
            return self._tell(name, self._served(name), "the server, which hears the same in everything")
        shape = self.shapes.find(name, "recogniser")
        family = "moonshine" if shape and shape.family == "moonshine" else "whisper"
        place = self._place(f"{family}-recogniser", name, lambda place: save_tiny_recogniser(place, family))
        return self._tell(name, place, f"a tiny {family.title()}" + ("" if shape else f" ({_UNKNOWN})"))

    def encoder(self, name: str) -> str:
        """A speech encoder of the same family."""
        from rba.testing.tiny_encoder import save_tiny_encoder

        family = self._ears(name)
        place = self._place(family, name, lambda place: save_tiny_encoder(place, family))
        return self._tell(name, place, f"a tiny {family}")

    def speechlm(self, name: str) -> str:
        """A SpeechLM of the same kind and family. Raises ModelError where nothing here tells the family."""
        from rba.models.load import facts_of

        facts = facts_of(folder_of(name)) if name == SHIPPED or folder_of(name).is_dir() else {}
        if "encoder" in facts:
            return self.compact(name, facts["encoder"])
        return self._audio(name, facts.get("model", name))

    def compact(self, name: str, encoder: str) -> str:
        """A compact SpeechLM whose encoder is of the same family as `encoder`."""
        from rba.testing.tiny_speechlm import save_tiny_speechlm

        ears = self._ears(encoder)
        place = self._place(f"compact-{ears}", name, lambda place: save_tiny_speechlm(place, ears=ears))
        return self._tell(name, place, f"a tiny compact SpeechLM that hears through {ears}")

    def engine(self, name: str, other_than: str = "") -> str:
        """A speech engine: the recipe's own where it has no weights to fetch, else the server, or one that is tiny.

        `other_than` is one that it must not be.
        """
        from rba.testing.tiny_engine import NAME

        kind, _, model = name.partition(":")
        if kind in ("openai", "openai-clone"):
            served = kind + ":" + self._served(PREFIX + model).removeprefix(PREFIX)
            return self._tell(name, served, "a speech server on this machine")
        if kind not in ("kokoro", "transformers"):
            return name
        made = NAME if other_than != NAME else WEIGHTLESS[0]
        return self._tell(name, made, "an engine that says chords" if made == NAME else made)

    def references(self, name: str) -> str:
        """A folder of clips."""
        from rba.testing.tiny_references import save_tiny_references

        return self._tell(name, self._place("references", name, save_tiny_references), "clips of 40 people who are not")

    def mixed(self, name: str, seed: int) -> str:
        """A run folder with a little of another run's speech. Raises DataError where it has none to train on."""
        place = self._place("run", name, lambda place: save_mixed(name, place, seed))
        return self._tell(name, place, f"{INSTRUCTIONS} of its instructions, in {VOICES} voices")

    def texts(self, name: str) -> str:
        """A file of texts in the place of one that is not here."""
        place = self._place("texts", name, _save_texts)
        return self._tell(name, place, f"{_TEXTS} made-up requests, as it is behind a URL")

    def corpus_file(self, name: str) -> str:
        """The first lines of a file of texts that a connector learns from. Raises DataError for a line of no text."""
        if is_url(name):
            return self.texts(name)
        rows = [text_row(line, where) for where, line in text_lines(given(name), "the corpus file")]
        asked = [row for row in rows if row.get("source") == "query"][:_ROWS]
        rest = [row for row in rows if row.get("source") != "query"][:_ROWS]
        path = self.folder / f"{part_name(name)}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in asked + rest), encoding="utf-8")
        return self._tell(name, str(path), f"{len(asked + rest)} of its lines")

    def rollout_server(self, name: str) -> str:
        """A server that draws self-samples."""
        return self._tell(name, self._served(name, self.vllm_url), "a tiny vLLM of the SpeechLM's own LLM")

    def given_back(self, text: str) -> str:
        """A text with the recipe's names in the places of the stand-ins'."""
        for made in sorted(self.names, key=len, reverse=True):
            text = text.replace(made, self.names[made])
        return text

    def _audio(self, name: str, base: str) -> str:
        from rba.testing.tiny_audio_lm import BUILDERS, STAND_INS, save_tiny_audio_lm

        shape = self.shapes.find(base, "audio")
        if shape is None:
            fix = f"bring its configuration here once: hf download {base} config.json"
            raise ModelError("nothing on this machine tells the class of the SpeechLM", f"model {base}", fix)
        family = shape.family if shape.family in BUILDERS else f"{shape.family}_thinker"
        words = f"a tiny {FAMILIES[shape.family].title}"
        if family in STAND_INS:
            words = f"a tiny Qwen2-Audio, as the processor of {FAMILIES[shape.family].title} needs more than is here"
            family = "qwen2_audio"
        return self._tell(name, self._place(family, name, lambda place: save_tiny_audio_lm(place, family)), words)

    def _ears(self, name: str) -> str:
        from rba.testing.tiny_encoder import WHISPER

        shape = self.shapes.find(name, "encoder")
        return shape.family if shape else WHISPER

    def _served(self, name: str, url: str = "", tokenizer: str = "") -> str:
        """A server's name with an address of the one that stands in; a tokenizer only where it names one."""
        parts, (host, version) = urlsplit(name.removeprefix(PREFIX)), (url or self.url).rsplit("/", 1)
        options = {key: value for key, value in parse_qsl(parts.query) if key not in _DROPPED}
        if "tokenizer" in options:
            options["tokenizer"] = tokenizer
        query = f"?{urlencode(options, safe='/,')}" if options else ""
        return f"{PREFIX}{host}/{self._number('server', name)}/{version}{query}#{parts.fragment}"

    def _place(self, kind: str, name: str, make: Callable[[Path], Path]) -> str:
        place = self.folder / f"{kind}-{self._number(kind, name)}"
        return str(place if place.exists() else make(place))

    def _number(self, kind: str, name: str) -> int:
        """Whose stand-in of a kind it is, from 1: an error's names lead back to it."""
        known = self._known.setdefault(kind, [])
        if name not in known:
            known.append(name)
        return 1 + known.index(name)

    def _tell(self, name: str, made: str, words: str) -> str:
        before = self.told.get(name, words)
        self.told[name] = before if words in before.split("; ") else f"{before}; {words}"
        self.names[made] = name
        return made


def _save_texts(place: Path) -> Path:
    """Requests that all differ, as JSON lines."""
    from rba.testing.tiny_writer import REQUESTS

    _, _, verbs, _, things, times, _ = REQUESTS
    asked = [f"Do I {verb} a {thing} {time}?" for verb in verbs for thing in things for time in times]
    path = place.with_suffix(".jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = asked[:: len(asked) // _TEXTS][:_TEXTS]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows), encoding="utf-8")
    return path


_CLASSIFIER = "a tiny classifier on a Llama"
_UNKNOWN = "nothing here tells its class"
