"""The fine-tuning explorer: every control over its whole range, and the words it says about what it shows."""

from pathlib import Path

import pytest
import torch

from w2v2_teach.config import TINY
from w2v2_teach.course.widgets.finetuning import emergence_explorer
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.speech.corpora import Utterance
from w2v2_teach.speech.intervals import Interval

VOCABULARY = Vocabulary.from_texts(["go on"])
UTTERANCES = [
    Utterance(f"u{i}", f"s{i}", "dev", Path("nowhere"), text, 3_840, words=(Interval(0.0, 0.2, text.split()[0]),))
    for i, text in enumerate(["go on", "no go"])
]


def frames_of(letters, certainty):
    """(T, V) log probabilities of frames, each of which says one token with a logit of `certainty`."""
    logits = torch.zeros(len(letters), len(VOCABULARY))
    for t, letter in enumerate(letters):
        logits[t, VOCABULARY.tokens.index("<pad>" if letter == "-" else letter)] = certainty
    return logits.log_softmax(dim=1)


@pytest.fixture(scope="module")
def explorer():
    frames = ["g-o---|-o-n-", "nn-o-|g-o---"]
    moments = {0: [frames_of("-" * 12, 1.0)] * 2}
    moments |= {update: [frames_of(f, update / 10) for f in frames] for update in (20, 40, 60)}
    return emergence_explorer(moments, UTTERANCES, VOCABULARY, TINY)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "values"), [("update", (0, 20, 40, 60)), ("utterance", (0, 1))])
def test_every_value_of_every_control_gives_another_picture(explorer, looks_at, name, values):
    pictures, sentences = looks_at(explorer, name, values)
    assert len(pictures) == len(set(sentences)) == len(values)


def test_the_slider_has_room_to_the_right_of_where_it_starts(explorer):
    control = explorer.controls["update"]
    assert len(control.options) - 1 - control.options.index(control.value) >= 2


def test_it_says_what_was_said_and_what_is_written(explorer):
    explorer.controls["utterance"].value = 0
    explorer.controls["update"].value = 0
    assert explorer.alt.startswith("After update 0. Said: “go on”. Written: “”. Word error rate 100%")
    assert "Blank is the likeliest token in 100% of the frames" in explorer.alt
    explorer.controls["update"].value = 60
    assert "Written: “go on”. Word error rate 0%, character error rate 0%" in explorer.alt
    assert "in 58% of the frames" in explorer.alt
