"""Word models by the names that the command line takes."""

import re
from pathlib import Path

from w2v2_teach.decoding.ngram import NGramModel
from w2v2_teach.files import replacing
from w2v2_teach.speech.corpora import toy_speech
from w2v2_teach.speech.downloads import CorpusNotFound, cache_folder
from w2v2_teach.speech.mini_librispeech import mini_librispeech
from w2v2_teach.speech.text_files import read_lines, transcript_of

NO_LETTERS = re.compile(r"[^\w' ]|[\d_]")  # what a recognizer does not write; between letters, it separates words


def word_model(name: str) -> NGramModel:
    """A word trigram model of what is said in a corpus, or stands in a text.

    Args:
        name: "toy", the bundled corpus' train speakers; "librispeech", Mini LibriSpeech's; or a text file with a
            sentence a line, whose capitals, digits and punctuation are dropped.

    Raises:
        CorpusNotFound: it is not on this machine.
        CorpusError: a text file that cannot be read; names the line.
    """
    if name == "toy":
        return NGramModel.from_texts(utterance.text for utterance in toy_speech().split("train"))
    file = librispeech_sentences() if name == "librispeech" else Path(name)
    if not file.is_file():
        raise CorpusNotFound(f"{name} is no word model: it must be toy, librispeech, or a text file of sentences.")
    return NGramModel.from_texts(NO_LETTERS.sub(" ", transcript_of(line, place)) for place, line in read_lines(file))


def librispeech_sentences() -> Path:
    """A text file of what Mini LibriSpeech's train speakers say, in the cache: reading the corpus takes seconds."""
    file = cache_folder() / "mini_librispeech_train.txt"
    if not file.is_file():
        texts = [utterance.text for utterance in mini_librispeech().split("train")]
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file
