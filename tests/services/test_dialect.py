"""What a refusal is taken to be of, and what a request can do without."""

from __future__ import annotations

import pytest

from rba.services.dialect import can_do_without, to_spare

ASKED = {"seed": 1, "stop": ["<|im_end|>"], "stop_token_ids": [2], "max_tokens": 9, "temperature": 0.3, "top_p": 1}


@pytest.mark.parametrize(
    ("said", "spared"),
    [
        ("Unknown parameter: 'seed'.", "seed"),
        ('unknown field "stop_token_ids"', "stop_token_ids"),
        ("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"),
        ("Unsupported value: 'top_p' does not support 1 with this model.", "top_p"),
    ],
)
def test_a_refusal_names_what_is_spared(said: str, spared: str) -> None:
    assert to_spare(said, ASKED) == spared
    assert to_spare(said, {key: value for key, value in ASKED.items() if key != spared}) == ""


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Unknown parameter: 'seeds'.",
        "max_tokens=9 cannot be greater than max_model_len=8",  # of its value, which another name does not mend
        "Unsupported value: 'temperature' does not support 0.3 with this model.",
        "Unsupported parameter: 'stop' is not supported with this model.",
    ],
)
def test_what_is_no_refusal_of_a_parameter_that_can_be_spared_spares_none(said: str) -> None:
    assert to_spare(said, ASKED) == ""


def test_numbers_of_tokens_to_end_with_are_spared_only_beside_their_words() -> None:
    alone = {"stop_token_ids": [2], "ignore_eos": True}
    assert can_do_without("stop_token_ids", ASKED)
    assert not can_do_without("stop_token_ids", alone)
    assert to_spare("Unknown parameter: 'stop_token_ids'.", alone) == ""
