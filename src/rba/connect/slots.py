"""Values for the slots of corpus templates: names, places, numbers, dates, times, prices and plain words."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rba.connect.lexicon import article, plural, words

LOCALES = ("en_US", "en_GB", "en_AU", "en_IE", "en_CA", "en_IN", "en_NZ")
MONTHS = tuple(datetime.date(2000, m, 1).strftime("%B") for m in range(1, 13))
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
RELATIVES = ("mother", "father", "sister", "brother", "daughter", "son", "wife", "husband", "aunt", "uncle", "cousin",
             "grandmother", "grandfather", "best friend", "neighbor", "teacher")  # fmt: skip
SMALL = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
         "fourteen", "fifteen", "sixteen", "twenty", "thirty", "forty", "fifty", "a hundred")  # fmt: skip
RARE_SHARE = 0.25


def suffixed(number: int) -> str:
    """An ordinal in figures, e.g. 3 -> "3rd"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


class Slots:
    """Draws a value for a slot name. Each item has its own generator, so that no item depends on another.

    Faker (the `corpus` extra) gives person, city, company, job and street names. `vocabulary` fills `{word}`,
    and `rare`, if any, every fourth of them.
    """

    def __init__(self, vocabulary: Sequence[str] = (), rare: Sequence[str] = ()):
        try:
            from faker import Faker
        except ImportError as error:
            from rba.errors import RecipeError

            raise RecipeError("templated text needs Faker", "connect corpus", "pip install 'rba[corpus]'") from error
        self._fakers = [Faker(locale) for locale in LOCALES]
        self.vocabulary, self.rare = tuple(vocabulary), tuple(rare)
        self._draw: dict[str, Callable[[np.random.Generator, Any], str]] = {
            "person": _person, "first": lambda g, f: f.first_name(), "city": lambda g, f: f.city(),
            "company": _company, "job": _job, "street": _street, "phone": _phone, "date": _date, "time": _time,
            "price": _price, "number": _number, "bignumber": _big_number, "decimal": _decimal, "percent": _percent,
            "digits": _digits, "duration": _duration, "ordinal": _ordinal,
            "small": lambda g, f: _pick(g, SMALL), "age": lambda g, f: str(g.integers(4, 100)),
            "year": lambda g, f: str(g.integers(1700, 2040)), "century": lambda g, f: suffixed(int(g.integers(10, 22))),
            "month": lambda g, f: _pick(g, MONTHS), "weekday": lambda g, f: _pick(g, WEEKDAYS),
            "relative": lambda g, f: _pick(g, RELATIVES), "letter": lambda g, f: _pick(g, "ABCDEFGHIJKLMNOPRSTW"),
            "noun": _from("nouns"), "nouns": _from("nouns", plural), "adj": _from("adjectives"), "verb": _from("verbs"),
            "food": _from("foods"), "animal": _from("animals"), "animals": _from("animals", plural),
            "topic": _from("topics"), "place": _from("places"), "famous": _from("people"),
            "language": _from("languages"), "word": lambda g, f: self._word(g),
        }  # fmt: skip

    def _word(self, rng: np.random.Generator) -> str:
        return _pick(rng, self.rare if self.rare and rng.random() < RARE_SHARE else self.vocabulary)

    def fill(self, template: str, rng: np.random.Generator) -> str:
        """The template with every `{slot}` drawn from `rng`; `{a:slot}` puts "a" or "an" before the value."""
        faker = self._fakers[int(rng.integers(len(self._fakers)))]
        faker.seed_instance(int(rng.integers(2**32)))
        pieces = template.replace("}", "{").split("{")
        for i in range(1, len(pieces), 2):
            bare = pieces[i].removeprefix("a:")
            value = self._draw[bare](rng, faker)
            pieces[i] = article(value) if bare != pieces[i] else value
        return "".join(pieces)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _from(name: str, change: Callable[[str], str] = str) -> Callable[[np.random.Generator, Any], str]:
    return lambda rng, faker: change(_pick(rng, words(name)))


def _person(rng: np.random.Generator, faker: Any) -> str:
    title = _pick(rng, ("", "", "", "", "Doctor ", "Professor ", "Miss ", "Mr. ", "Mrs. "))
    return title + (
        f"{faker.first_name()} {faker.last_name()}" if not title or rng.random() < 0.3 else faker.last_name()
    )


def _company(rng: np.random.Generator, faker: Any) -> str:
    name = faker.company().replace("-", " and ")
    return name.removesuffix(" PLC").removesuffix(" LLC").removesuffix(" Ltd")


def _job(rng: np.random.Generator, faker: Any) -> str:
    while True:
        job = faker.job()
        if not any(sign in job for sign in ",/("):
            return job.lower()


def _street(rng: np.random.Generator, faker: Any) -> str:
    return f"{rng.integers(1, 400)} {faker.street_name()}" if rng.random() < 0.5 else faker.street_name()


def _phone(rng: np.random.Generator, faker: Any) -> str:
    head, tail = rng.integers(200, 1000, 2), rng.integers(0, 10000)
    return f"{head[0]}-{tail:04d}" if rng.random() < 0.5 else f"{head[0]}-{head[1]}-{tail:04d}"


def _digits(rng: np.random.Generator, faker: Any) -> str:
    return " ".join(str(d) for d in rng.integers(0, 10, int(rng.integers(3, 7))))


def _date(rng: np.random.Generator, faker: Any) -> str:
    month, day, year = _pick(rng, MONTHS), int(rng.integers(1, 29)), rng.integers(1850, 2036)
    forms = (f"{month} {suffixed(day)}", f"the {suffixed(day)} of {month}", f"{month} {day}, {year}", f"{month} {day}")
    return _pick(rng, forms)


def _time(rng: np.random.Generator, faker: Any) -> str:
    hour, minute = int(rng.integers(1, 13)), int(rng.integers(0, 12)) * 5
    half = _pick(rng, ("am", "pm"))
    clock = (f"{hour}:{minute:02d}", f"{hour}:{minute:02d} {half}", f"{hour} {half}", f"{hour} o'clock")
    words_ = (f"half past {SMALL[max(hour - 2, 0)]}", f"a quarter to {SMALL[max(hour - 2, 0)]}", "noon", "midnight")
    return _pick(rng, clock * 3 + words_)


def _price(rng: np.random.Generator, faker: Any) -> str:
    whole, cents = int(np.exp(rng.uniform(0.7, 8))), int(rng.integers(5, 100))
    sign = _pick(rng, "$$$$£€")
    forms = (f"{sign}{whole}", f"{sign}{whole}.{cents:02d}", f"{whole} dollars", f"{whole} euros", f"{whole} pounds")
    return _pick(rng, forms)


def _number(rng: np.random.Generator, faker: Any) -> str:
    return str(rng.integers(2, 100) if rng.random() < 0.7 else rng.integers(100, 1000))


def _big_number(rng: np.random.Generator, faker: Any) -> str:
    value = int(rng.integers(1, 100)) * 10 ** int(rng.integers(2, 5))
    million = f"{rng.integers(2, 90)} million"
    return _pick(rng, (f"{value:,}", f"{value:,}", f"{rng.integers(1000, 10000):,}", million))


def _decimal(rng: np.random.Generator, faker: Any) -> str:
    return f"{rng.integers(0, 40)}.{rng.integers(1, 10)}"


def _percent(rng: np.random.Generator, faker: Any) -> str:
    return f"{rng.integers(1, 101)}" + _pick(rng, ("%", " percent"))


def _duration(rng: np.random.Generator, faker: Any) -> str:
    number = int(rng.integers(2, 60))
    unit = _pick(rng, ("seconds", "minutes", "minutes", "hours", "days", "weeks"))
    return f"{number} {unit}" if rng.random() < 0.7 else f"{_pick(rng, SMALL)} {unit}"


def _ordinal(rng: np.random.Generator, faker: Any) -> str:
    names = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
    return _pick(rng, names) if rng.random() < 0.6 else suffixed(int(rng.integers(1, 60)))
