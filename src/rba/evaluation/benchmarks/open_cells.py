"""The answers to an open-ended benchmark side by side, with what judges compare them to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rba.evaluation.answers import Answer
from rba.evaluation.benchmarks.load import Benchmark
from rba.evaluation.cells import Cells, lay_out
from rba.evaluation.collect import TEACHER


def open_cells(benchmark: Benchmark, answers: Sequence[Answer]) -> Cells:
    """Cells of the items that every model answered, whose references are the teacher's answers to them.

    Where the data have an answer of their own, it stands in for the teacher's second one, which judges compare with
    when the teacher's first is on trial. Raises DataError where no item has an answer from every model.
    """
    own = [answer for answer in answers if answer.instruction_id in benchmark.items]
    wanted = {answer.instruction_id: answer.text for answer in own if answer.model == TEACHER}
    asked = [u for u in benchmark.utterances if u.instruction_id in wanted]
    cells = lay_out([replace(u, response=wanted[u.instruction_id]) for u in asked], own, {})
    items = [benchmark.items[u.instruction_id] for u in cells.utterances]
    return replace(cells, again=[next(iter(item.references), None) for item in items])
