"""Writes sentences.txt, the texts of recipes/translate.yaml: short plain English, filled from the lists below.

    python recipes/translate/sentences.py > recipes/translate/sentences.txt

Sentences that the shipped connector was trained on are left out: it would hear them better than others.
"""

from __future__ import annotations

import numpy as np

from rba.data.instruction import instruction_id
from rba.data.seeds import rng
from rba.models import shipped_folder
from rba.models.heard import HEARD

COUNT, SEED = 720, 0
MOST_OF_ONE = 12  # sentences of one template

WORDS = {
    "who": "my mother, my father, my sister, my brother, my neighbor, our teacher, the doctor, my best friend, "
    "the waiter, our grandmother, the driver, my uncle, the baker, his daughter, her son, the old man, the young woman",
    "name": "Anna, Peter, Maria, David, Laura, Thomas, Sofia, Daniel, Julia, Martin",
    "animal": "dog, cat, horse, bird, cow, sheep, duck, rabbit, mouse, frog",
    "food": "bread, cheese, soup, rice, fish, chicken, chocolate, apples, potatoes, eggs, fruit, salad",
    "drink": "water, milk, coffee, tea, orange juice, wine",
    "thing": "book, letter, bicycle, lamp, chair, umbrella, suitcase, camera, guitar, coat, clock, map, key, ticket",
    "place": "school, the station, the market, the hospital, the library, the beach, the park, the airport, "
    "the stadium, the museum, the bakery, the theater",
    "room": "kitchen, garden, living room, bathroom, bedroom, office, hall",
    "when": "today, tomorrow, this morning, tonight, on Monday, on Friday, next week, in the afternoon, after lunch",
    "past": "yesterday, last night, last week, on Sunday, two days ago, this morning",
    "color": "red, blue, green, yellow, black, white, brown",
    "quality": "small, big, old, new, beautiful, expensive, cheap, heavy, broken, clean",
    "mood": "tired, happy, sad, hungry, thirsty, sick, late, busy, ready, alone",
    "weather": "rain, snow, be cold, be hot, be sunny, be windy",
    "number": "two, three, four, five, six, seven, eight, nine, ten, twelve, twenty",
    "job": "nurse, teacher, cook, driver, farmer, doctor, painter, singer, lawyer",
    "language": "French, German, Italian, Russian, Arabic, Japanese",
    "city": "Paris, London, Madrid, Rome, Berlin, New York, Lisbon, Vienna",
    "season": "spring, summer, autumn, winter",
}
TEMPLATES = """
{who} drinks {drink} every morning.
{who} is reading a {quality} book in the {room}.
{who} bought {number} {color} shirts {past}.
{who} forgot the {thing} at {place}.
{who} wants to be a {job}.
{who} speaks {language} very well.
{who} lives near {place}.
{who} is {mood} today.
{who} cooks {food} on Sundays.
{who} was born in {city}.
{who} gave me a {color} {thing}.
{who} goes to {place} by bus.
{who} lost the key to the {room} {past}.
{who} called me {past}.
{name} and {name} are waiting in the {room}.
{name} has {number} children and a {animal}.
{name} sold the {quality} {thing} {past}.
{name} does not like {food}.
{name} is taller than {who}.
{name}, please open the window in the {room}.
The {animal} is sleeping under the table.
The {animal} ran across the {color} bridge.
The {color} {animal} belongs to {who}.
The {thing} is on the table in the {room}.
The {thing} costs {number} dollars.
The {quality} {thing} was a present from {who}.
The train to {city} leaves in {number} minutes.
The shop near {place} closes at {number} o'clock.
The {room} is clean, but very dark.
The soup needs more salt and some {food}.
There are {number} glasses of {drink} on the table.
There is no {drink} left in the {room}.
There was a {color} car in front of {place} {past}.
I would like {food} and a glass of {drink}, please.
I have never been to {city}.
I saw a {quality} {animal} near {place} {past}.
I cannot find my {color} {thing}.
I need a new {thing} for {who}.
I will meet {name} at {place} {when}.
I am {mood} because I worked all night.
I like {season} more than {season}.
I learned {language} when I lived in {city}.
I wrote a long letter to {who} {past}.
We ate {food} and {food} for dinner.
We are going to {place} {when}.
We stayed in {city} for {number} days.
We walked to {place} because the bus was late.
We have to leave at {number} o'clock.
We played cards in the {room} {past}.
It is going to {weather} {when}.
It was very quiet at {place} {past}.
It takes {number} hours to drive to {city}.
Can you help {who} with the {thing}?
Can we buy {drink} at {place}?
Where did you put the {color} {thing}?
Where is {place}, and how do I get there?
When does {who} come back from {city}?
What did {who} say about the {thing}?
Why is {name} so {mood} {when}?
How much is the {color} {thing}?
Have you seen {name} at {place}?
Do you want {food} or {food}?
Did {who} call you {past}?
Who left the {thing} in the {room}?
Please bring {number} bottles of {drink} {when}.
Please do not touch the {quality} {thing}.
Close the door of the {room} before you leave.
Turn left at {place} and go straight on.
Give the {animal} some {food} and {drink}.
Tell {who} that I am {mood}.
In {season} the days in {city} are long.
Every {season} {who} visits us.
If it rains {when}, we will stay at home.
When I was {number}, I wanted a {animal}.
After dinner {name} washed the {color} plates.
""".strip().splitlines()


def filled(template: str, draw: np.random.Generator) -> str:
    """The template with a word in each slot, no word twice."""
    pieces, used = template.replace("}", "{").split("{"), set[str]()
    for i in range(1, len(pieces), 2):
        choices = [word.strip() for word in WORDS[pieces[i]].split(",")]
        pieces[i] = str(draw.choice([word for word in choices if word not in used]))
        used.add(pieces[i])
    text = "".join(pieces).replace(" a old", " an old").replace(" a expensive", " an expensive")
    for noun in ("orange", "umbrella"):
        text = text.replace(f" a {noun}", f" an {noun}")
    return text[0].upper() + text[1:]


def main() -> None:
    """Print the sentences."""
    heard = {f"{number:016x}" for number in np.load(shipped_folder() / HEARD).tolist()}
    made: dict[str, int] = {}
    for index in range(100 * COUNT):
        draw = rng(SEED, "sentence", index)
        number = int(draw.integers(len(TEMPLATES)))
        text = filled(TEMPLATES[number], draw)
        room = list(made.values()).count(number) < MOST_OF_ONE
        if room and text not in made and instruction_id(text) not in heard:
            made[text] = number
        if len(made) == COUNT:
            break
    print("\n".join(made))


if __name__ == "__main__":
    main()
