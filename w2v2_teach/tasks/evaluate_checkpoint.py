"""What is measured of a checkpoint, depending on its head."""

from collections.abc import Callable
from typing import Any

import torch

from w2v2_teach.checkpoints import CheckpointError, architecture
from w2v2_teach.decoding.transcription import Recognizer
from w2v2_teach.heads import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2ForSpeakerVerification
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech import corpora, published
from w2v2_teach.speech.by_name import joined, with_phones
from w2v2_teach.speech.mini_librispeech import mini_librispeech
from w2v2_teach.tasks.asr import evaluate_asr
from w2v2_teach.tasks.evaluation import Speech, evaluate_pretrained
from w2v2_teach.tasks.keywords import evaluate_keyword_model
from w2v2_teach.tasks.speakers import MEASURED_SECONDS, evaluate_speaker_model


def evaluate_checkpoint(name: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Measure a checkpoint on speakers it was not trained on, of the bundled corpus, of FSDD and of Mini LibriSpeech.

    Args:
        name: a folder, a checkpoint of the course, or a downloaded hub id.
        device: where to run the model.

    Raises:
        CheckpointError, ConfigError, VocabularyError: it cannot be loaded, or nothing can be measured of its kind.
        CorpusNotFound, DownloadError: the speech is not on this machine.
    """
    kind = architecture(name)
    if kind not in EVALUATIONS:
        raise CheckpointError(f"{name} is a {kind}; what can be evaluated: {', '.join(EVALUATIONS)}.")
    return EVALUATIONS[kind](name, device)


def _evaluate_pretrained(name: str, device: torch.device | str) -> dict[str, Any]:
    human = with_phones(mini_librispeech())
    toy, digits = corpora.toy_speech().split("test"), published.fsdd()
    model = Wav2Vec2ForPreTraining.from_pretrained(name).to(device)
    return evaluate_pretrained(model, Speech(human.split("train"), human.split("test"), toy, digits))


def _evaluate_recognizer(name: str, device: torch.device | str) -> dict[str, Any]:
    toy, human, digits = corpora.toy_speech(), mini_librispeech(), published.fsdd()
    recognizer = Recognizer.from_pretrained(name)
    return evaluate_asr(recognizer.model.to(device), recognizer.vocabulary, toy, human, digits)


def _evaluate_speakers(name: str, device: torch.device | str) -> dict[str, Any]:
    toy, human = corpora.toy_speech(), mini_librispeech()
    people = joined([human.split(part).middles(MEASURED_SECONDS) for part in ("dev", "test")])
    model = Wav2Vec2ForSpeakerVerification.from_pretrained(name).to(device)
    return evaluate_speaker_model(model, toy.split("dev"), toy.split("test"), people)


def _evaluate_keywords(name: str, device: torch.device | str) -> dict[str, Any]:
    toy, human, digits = corpora.toy_speech().split("test"), mini_librispeech().split("test"), published.fsdd()
    model = Wav2Vec2ForSequenceClassification.from_pretrained(name).to(device)
    return evaluate_keyword_model(model, toy, human, digits)


EVALUATIONS: dict[str, Callable[[str, torch.device | str], dict[str, Any]]] = {
    Wav2Vec2ForPreTraining.__name__: _evaluate_pretrained,
    Wav2Vec2ForCTC.__name__: _evaluate_recognizer,
    Wav2Vec2ForSpeakerVerification.__name__: _evaluate_speakers,
    Wav2Vec2ForSequenceClassification.__name__: _evaluate_keywords,
}
