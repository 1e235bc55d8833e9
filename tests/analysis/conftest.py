"""What the tests of the analysis listen to."""

import pytest
from little_run import little_corpus

from w2v2_teach.speech.corpora import Corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Seven utterances of different lengths, in no order."""
    utterances = little_corpus(tmp_path_factory.mktemp("corpus")).train
    return Corpus("ragged", [utterances[i] for i in (4, 0, 9, 2, 11, 7, 5)])
