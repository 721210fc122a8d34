"""Rounds of synthesis: draw, filter, compare, tag, answer, split; each builds on what the ones before it kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rba.data.instruction import instruction_id
from rba.data.seeds import derive, rng
from rba.lm.task import ENGLISH
from rba.synthesis import answers, filters
from rba.synthesis.candidate import FILE, PAIR, Candidate
from rba.synthesis.duplicates import KeptTexts, why_duplicate
from rba.synthesis.queries import draw_queries, tidy
from rba.synthesis.settings import SynthesisSettings
from rba.synthesis.split import Splitter
from rba.synthesis.tags import DROPPED_TOPICS, Embedder, Tagger
from rba.synthesis.texts import Given, read_texts
from rba.teachers.teacher import Reply, Teacher


class Synthesiser:
    """Makes rounds of candidates and remembers which were kept, so that each is new and each split fills up.

    The teacher may be None where a file has the requests and all their answers.
    """

    def __init__(
        self,
        settings: SynthesisSettings,
        seed: int,
        teacher: Teacher | None,
        embedder: Embedder,
        language: str = ENGLISH,
    ):
        self.settings, self.seed, self.teacher, self.embedder = settings, seed, teacher, embedder
        self.language = language
        self.texts = _shuffled(read_texts(settings.texts), seed) if settings.texts else None
        self.tagger = Tagger(embedder)
        self.kept = KeptTexts()
        self.splitter = Splitter(settings.quotas, settings.split_distance, seed)

    def has_round(self, index: int) -> bool:
        """Whether there is anything to make round `index` of: the teacher writes on for ever, a file ends."""
        return self.texts is None or index * self.settings.shard_size < len(self.texts)

    def remember(self, candidates: list[Candidate]) -> None:
        """Take in a round that was made before a restart."""
        for candidate in candidates:
            if not candidate.reason:
                self.splitter.take(candidate.split)
                self.kept.add(candidate.text, candidate.embedding, candidate.split)

    def make(self, index: int) -> list[Candidate]:
        """Round `index`, every request of it with its fate."""
        candidates = self._tagged(self._drawn(index))
        alive = [i for i, c in enumerate(candidates) if not c.reason]
        for i, answered in zip(alive, self._answered([candidates[i] for i in alive], index)):
            candidates[i] = self._placed(answered)
        return [c if not c.reason else replace(c, vector=b"") for c in candidates]

    def _drawn(self, index: int) -> list[Candidate]:
        """The round's requests after the text filters."""
        if self.texts is not None:
            start = index * self.settings.shard_size
            given = self.texts[start : start + self.settings.shard_size]
            return [
                Candidate(
                    g.text,
                    filters.why_dropped(g.text, True, self.settings),
                    g.response,
                    source=PAIR if g.response else FILE,
                )
                for g in given
            ]
        assert self.teacher, "only a file makes it needless"
        queries = draw_queries(self.teacher, self.settings, self.seed, index)
        return [
            Candidate(
                q.text,
                filters.why_dropped(q.text, q.finished, self.settings),
                opener=q.opener,
                temperature=q.sampling.temperature,
                top_p=q.sampling.top_p,
            )
            for q in queries
        ]

    def _tagged(self, candidates: list[Candidate]) -> list[Candidate]:
        """Duplicates of kept requests and of earlier ones in the round go, then topics that the paper leaves out."""
        alive = [i for i, c in enumerate(candidates) if not c.reason]
        texts = [candidates[i].text for i in alive]
        vectors_ND = self.embedder.encode(texts).astype(np.float16) if texts else np.zeros((0, 1), np.float16)
        new = KeptTexts()
        for i, half_D, tags in zip(alive, vectors_ND, self.tagger.tag(texts, vectors_ND)):
            text, vector_D = candidates[i].text, half_D.astype(np.float32)
            reason = (
                why_duplicate(text, vector_D, self.kept, self.settings.near_duplicate)
                or why_duplicate(text, vector_D, new, self.settings.near_duplicate)
                or (f"topic: {tags.topic}" if tags.topic in DROPPED_TOPICS and self.texts is None else "")
            )
            if not reason:
                new.add(text, vector_D)
            tagged = {"topic": tags.topic, "difficulty": tags.difficulty, "vector": half_D.tobytes()}
            candidates[i] = replace(candidates[i], reason=reason, **tagged)
        return candidates

    def _answered(self, candidates: list[Candidate], index: int) -> list[Candidate]:
        """The file's or the teacher's answer to each, or the reason why it is of no use."""
        texts = [c.text for c in candidates if not c.response]
        seeds = [derive(self.seed, "answer", index, instruction_id(text)) for text in texts]
        long, most = self.settings.long_answers, self.settings.max_answer_words
        asked = iter(self.teacher.replies(texts, self.settings.answer, seeds) if self.teacher and texts else ())
        replies = [Reply(c.response) if c.response else next(asked) for c in candidates]
        return [
            replace(
                c,
                response=answers.settled(r, long) or r.text,
                reason=answers.why_dropped(c.text, r, long, most, self.language),
            )
            for c, r in zip(candidates, replies)
        ]

    def _placed(self, candidate: Candidate) -> Candidate:
        """A split for an answered request, which is then kept."""
        if candidate.reason:
            return candidate
        split, reason = self.splitter.place(instruction_id(candidate.text), candidate.embedding, self.kept)
        if not reason:
            self.kept.add(candidate.text, candidate.embedding, split)
        return replace(candidate, split=split, reason=reason)


def _shuffled(texts: Sequence[Given], seed: int) -> list[Given]:
    """What a file gives as requests, in seeded order."""
    return [replace(texts[i], text=tidy(texts[i].text)) for i in rng(seed, "texts").permutation(len(texts))]
