"""A teacher behind an OpenAI-compatible server.

Answers come over `chat/completions`, through the server's own chat template. Requests and log-likelihoods go over
`completions` as token ids, so that the pre-query header and the chat frame are exactly those of the model's tokenizer.
Every request carries its own seed; what a server makes of it is its own affair, but an answer once given is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from rba.errors import ModelError, RecipeError
from rba.lm import chat
from rba.lm.preamble import System, asked, turns
from rba.lm.sampling import Sampling
from rba.services.client import Client
from rba.services.service import LARGEST_SEED, Service
from rba.services.usage import book
from rba.teachers.teacher import Reply, Teacher, as_request

MOST_STOPS = 4  # of the OpenAI interface


class ServerTeacher(Teacher):
    """A served model as a teacher that answers under the turn `system`."""

    def __init__(self, service: Service, system: System = "", client: Client | None = None):
        self.service, self.system, self.name = service, system, service.model
        self.client = client or Client(service)
        if client is None:  # else it is in the books already
            book(service, self.client.usage)

    def told(self, system: System) -> ServerTeacher:
        """The same server, asked over the same connection, under another turn."""
        return ServerTeacher(self.service, system, self.client)

    def sample_queries(
        self, seeds: Sequence[int], system: System, sampling: Sampling, openers: Sequence[str] | None = None
    ) -> list[Reply]:
        """One request per seed; it ends at the end of turn or where it begins another turn's header."""
        header, stops, first = chat.prequery_ids(self.tokenizer, system), self._stops(), openers or [""] * len(seeds)
        payloads = [
            self._payload(sampling, seed, prompt=header + self._ids(opener), **stops)
            for seed, opener in zip(seeds, first)
        ]
        written = self.client.post_all("completions", payloads, _completion)
        return [as_request(opener + reply.text, reply.finished) for opener, reply in zip(first, written)]

    def replies(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int]) -> list[Reply]:
        """One answer per request, through the server's chat template."""
        before = turns(self.system)
        payloads = [
            self._payload(sampling, seed, messages=[*before, asked(self.system, text)])
            for text, seed in zip(texts, seeds)
        ]
        return self.client.post_all("chat/completions", payloads, _message)

    def log_likelihood(self, texts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, int]]:
        """Summed log-prob and tokens of each response followed by the end of turn, given its text in the chat frame.

        Raises ModelError where the server gives no log-probs of a prompt's tokens.
        """
        end = chat.taught_end(chat.end_ids(self.tokenizer), self.service.tokenizer)
        answers = [chat.response_ids(self.tokenizer, text, end) for text in responses]
        return [(sum(row), len(row)) for row in self.token_logprobs(texts, answers)]

    def token_logprobs(self, texts: Sequence[str], answers: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probs of each token of the answers, given as token ids, after their texts in the chat frame.

        Raises ModelError where the server gives no log-probs of a prompt's tokens.
        """
        prompts = [chat.prompt_ids(self.tokenizer, text, self.system) for text in texts]
        asked = [
            {"model": self.service.model, "prompt": [*prompt, *answer], "max_tokens": 1, "echo": True, "logprobs": 1}
            for prompt, answer in zip(prompts, answers)
        ]
        rows = self.client.post_all("completions", asked, _echoed)
        spans = [(len(prompt), len(prompt) + len(answer)) for prompt, answer in zip(prompts, answers)]
        return [self._span(row, *span) for row, span in zip(rows, spans)]

    @cached_property
    def tokenizer(self) -> Any:
        """The served model's tokenizer. Raises RecipeError where the name has none, ModelError for one that fails."""
        if not self.service.tokenizer:
            fix = "add ?tokenizer=NAME before the #: a registry name, a local folder or a hub id"
            raise RecipeError("requests and log-probs need the tokenizer of a served teacher", self.name, fix)
        from transformers import AutoTokenizer

        from rba.weights.resolve import resolve

        try:
            found: Any = AutoTokenizer.from_pretrained(resolve(self.service.tokenizer))
        except (OSError, ValueError) as error:
            fix = "give a registry name (rba models list), a local folder or a hub id that you can reach"
            raise ModelError("cannot load the tokenizer", self.service.tokenizer, fix) from error
        if not found.chat_template:
            raise ModelError("the tokenizer has no chat template", self.service.tokenizer, "choose a chat model's")
        return found

    def _payload(self, sampling: Sampling, seed: int, **asked: Any) -> dict[str, Any]:
        return {
            "model": self.service.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": seed % LARGEST_SEED,
            **asked,
        }

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    def _stops(self) -> dict[str, Any]:
        """The special tokens of the chat frame: in a request any of them opens the next turn."""
        frame = {i for piece in chat.frame(self.tokenizer) for i in piece}
        special = sorted(frame & set(self.tokenizer.all_special_ids))
        # a server looks for words in its text, from which vLLM and SGLang have left special tokens out by then
        return {"stop": self.tokenizer.convert_ids_to_tokens(special)[:MOST_STOPS], "stop_token_ids": special}

    def _span(self, row: Sequence[float | None] | None, start: int, stop: int) -> list[float]:
        found = [value for value in (row or [])[start:stop] if value is not None]
        if len(found) != stop - start:
            fix = (
                "serve the model with vLLM or SGLang, or use what needs no log-probs: rewards such as recall, "
                "similarity and judge, and every method whose reward is one of them"
            )
            raise ModelError("the server gives no log-probs of given tokens", self.service.base_url, fix)
        return found


def _only(tree: Any) -> Any:
    (choice,) = tree["choices"]
    return choice


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _completion(tree: Any) -> Reply:
    choice = _only(tree)
    return Reply(_text(choice["text"]), choice["finish_reason"] == "stop")


def _message(tree: Any) -> Reply:
    choice = _only(tree)
    said = choice["message"]["content"]
    # null: the model refused, or thought until its tokens were used up; asked again it would do the same
    return Reply("" if said is None else _text(said).strip(), choice["finish_reason"] == "stop")


def _echoed(tree: Any) -> list[float | None] | None:
    """The log-probs of prompt and continuation; None where the server gives none in that form.

    Raises ValueError for one that is no number.
    """
    found = (_only(tree).get("logprobs") or {}).get("token_logprobs")
    if not isinstance(found, list):
        return None
    for value in found:
        if not (value is None or isinstance(value, int | float)):
            raise ValueError("a log-prob is no number")
    return found
