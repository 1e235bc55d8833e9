"""The sentences of the toy speech corpus: word classes, templates, and the draw that balances them.

The vocabulary holds no two words that sound alike (no "to" beside "two", no "for" beside "four"), so that a recognizer
without a language model can in principle write every sentence rightly, and a spotted digit is a digit.
"""

from collections.abc import Iterator

import numpy as np

# Words are spelled as in the corpus that was made from them: "grey", "travelled".
DIGITS = "zero one two three four five six seven eight nine".split()
COMMANDS = "yes no up down left right on off stop go".split()
COLORS = "red green blue yellow orange purple brown black white grey pink beige".split()

WORD_CLASSES: dict[str, list[str]] = {
    "digit": DIGITS,
    "command": COMMANDS,
    "answer": "yes no".split(),
    "side": "left right".split(),
    "way": "up down".split(),
    "switch": "on off".split(),
    "move": "stop go".split(),
    "color": COLORS,
    "weekday": "monday tuesday wednesday thursday friday saturday sunday".split(),
    "daytime": "morning afternoon evening night".split(),
    "weather": "sunny cloudy rainy foggy cold warm stormy icy".split(),
    "person": "mother father teacher doctor nurse farmer queen king boy girl baby judge painter singer".split(),
    "family": "mother father sister brother uncle friend teacher doctor".split(),
    "animal": "dog cat bird fish horse sheep cow mouse fox goat duck tiger monkey rabbit".split(),
    "thing": (
        "box book cup chair ball coat hat shoe key coin toy spoon bottle bag pencil ring watch basket treasure mirror"
    ).split(),
    "machine": "lamp light radio television heater engine fan oven".split(),
    "food": "bread cheese fruit soup rice cake honey sugar butter jam".split(),
    "drink": "milk juice coffee water lemonade".split(),
    "place": (
        "kitchen garden house school park station bridge river church shop village forest beach office bathroom"
    ).split(),
    "path": "stairs hill road ladder street".split(),
    "quality": "small big old new long short round heavy quiet young strange thin smooth good".split(),
    "where": "near under behind beside above inside outside".split(),
    "rested": "sat slept waited jumped played stood looked laughed".split(),
    "moved": "walked ran climbed marched travelled rushed".split(),
    "handled": "found lost took bought painted washed pushed pulled measured cleaned fixed".split(),
    "how": "slowly quickly quietly together alone".split(),
    "owner": "my your his her our their".split(),
    "who": "we they you i".split(),
    "whom": "me us them him".split(),
    "sound": "noise voice song bell".split(),
    "when": "today again soon now".split(),
}

# A comma makes the voice pause; it is not part of the text. Templates with keywords come first.
TEMPLATES: list[tuple[int, str]] = [  # (how often in one round, sentence)
    (3, "the code is {digit} {digit} {digit} {digit}"),
    (3, "call {digit} {digit} {digit} and ask the {person}"),
    (2, "count {digit}, {digit}, {digit} and then {move}"),
    (2, "room {digit} is {way} the {color} {path} on the {side}"),
    (2, "bus {digit} leaves the {place} on {weekday} {daytime}"),
    (3, "page {digit} of the {color} book shows the {animal}"),
    (4, "say {command} and {command}, but not {command}"),
    (2, "{answer}, turn {side} at the {color} {place}"),
    (3, "please turn the {color} {machine} {switch} {when}"),
    (2, "{move} when the {color} {machine} is {switch}"),
    (2, "go {way} the {path} and stop at the {place}"),
    (2, "{answer}, the {person} in {color} said {move}"),
    (2, "push the {color} {thing} {way} and say {answer}"),
    (1, "put the {color} {thing} {where} {owner} {thing}"),
    (2, "the {quality} {animal} {rested} {where} the {color} {thing}"),
    (1, "{owner} {family} {moved} {how} past the {place}"),
    (2, "the {animal} {moved} {where} the {place} and {rested} {how}"),
    (2, "{owner} {family} {handled} the {quality} {color} {thing}"),
    (1, "the {person} {handled} {owner} {thing} with pleasure"),
    (1, "{owner} {family} {handled} the {machine} this {daytime}"),
    (2, "the {person} gave {whom} {food} and {drink}"),
    (1, "{who} usually have {drink} and {food} in the {daytime}"),
    (1, "{who} could hear the {sound} {where} the {place}"),
    (1, "it is {weather} today, but it was {weather} on {weekday}"),
    (1, "did you see the {quality} {animal} {where} the {place}"),
    (1, "{who} think the {thing} {where} the {machine} is {quality}"),
]


def vocabulary() -> list[str]:
    """Return every word the grammar can say, sorted."""
    words = {word for words in WORD_CLASSES.values() for word in words}
    for _, template in TEMPLATES:
        words |= {word.strip(",") for word in template.split() if "{" not in word}
    return sorted(words)


def plain_text(sentence: str) -> str:
    """Return the sentence as the tables hold it: words and single spaces, no comma."""
    return sentence.replace(",", "")


class Deck:
    """Deals its cards in a fresh random order, round after round, so that each comes up equally often."""

    def __init__(self, cards: list, rng: np.random.Generator):
        self.cards, self.rng, self.hand = cards, rng, []

    def draw(self):
        if not self.hand:
            self.hand = [self.cards[i] for i in self.rng.permutation(len(self.cards))]
        return self.hand.pop()


def sentences(rng: np.random.Generator, taken: set[str]) -> Iterator[str]:
    """Yield sentences without end, commas included; none is in `taken`, to which each is added."""
    templates = Deck([template for times, template in TEMPLATES for _ in range(times)], rng)
    decks = {name: Deck(words, rng) for name, words in WORD_CLASSES.items()}
    while True:
        words = []
        for word in templates.draw().split():
            slot = word.strip("{},")
            filled = word.replace("{" + slot + "}", decks[slot].draw()) if "{" in word else word
            words.append(filled)
        sentence = " ".join(words)
        if plain_text(sentence) not in taken:
            taken.add(plain_text(sentence))
            yield sentence
