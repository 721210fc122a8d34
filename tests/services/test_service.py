"""A served model's name."""

from __future__ import annotations

import pytest

from rba.errors import RecipeError
from rba.services.service import Service, is_service, parse_service


def test_a_name_gives_address_model_and_options():
    name = "openai:https://host/v1/?key_env=KEY&concurrency=4&price_in=0.5&tokenizer=org/model#org/model"
    wanted = Service("https://host/v1", "org/model", "org/model", "KEY", 4, price_in=0.5)
    assert is_service(name)
    assert parse_service(name) == wanted


def test_speed_access_and_price_are_not_part_of_the_identity():
    plain = parse_service("openai:http://host/v1#m").identity
    assert parse_service("openai:http://host/v1?concurrency=2&key_env=K&price_in=3#m").identity == plain
    assert parse_service("openai:http://host/v1?tokenizer=t#m").identity != plain
    assert parse_service("openai:http://host/v1#n").identity != plain


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("openai:localhost:8000/v1#m", "openai:http://host"),
        ("openai:http://host/v1", "#model"),
        ("openai:http://localhost:abc/v1#m", r"localhost:abc.*host:8000"),
        ("openai:http://localhost:99999/v1#m", r"localhost:99999.*host:8000"),
        ("openai:http://localhost:0/v1#m", r"localhost:0/.*host:8000"),
        ("openai:http://:8000/v1#m", "host:8000"),
        ("openai:http://host/v1?retry=3#m", "retry.*choose from"),
        ("openai:http://host/v1?retries=many#m", "retries=many"),
        ("openai:http://host/v1?concurrency=0#m", "concurrency"),
        ("openai:http://host/v1?timeout=0#m", "timeout"),
        ("openai:http://host/v1?price_in=-1#m", "price_in"),
        ("openai:http://host/v1?x_vector_only_mode=yes#m", "x_vector_only_mode=yes.*true or false"),
    ],
)
def test_a_name_that_cannot_work_is_refused(name, says):
    with pytest.raises(RecipeError, match=says):
        parse_service(name)
