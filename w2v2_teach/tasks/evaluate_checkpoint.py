"""What is measured of a checkpoint, depending on its head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from w2v2_teach.checkpoints import CheckpointError, Pretrained, architecture, pretrained_file
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.heads import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2ForSpeakerVerification
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech import corpora
from w2v2_teach.speech.by_name import with_phones
from w2v2_teach.speech.mini_librispeech import mini_librispeech
from w2v2_teach.tasks.asr import evaluate_asr
from w2v2_teach.tasks.evaluation import Speech, evaluate_pretrained
from w2v2_teach.tasks.keywords import evaluate_keyword_model
from w2v2_teach.tasks.speakers import evaluate_speaker_model


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
    if kind not in MODELS:
        raise CheckpointError(f"{name} is a {kind}; what can be evaluated: {', '.join(MODELS)}.")
    model_class = MODELS[kind]
    return EVALUATIONS[model_class](model_class.from_pretrained(name).to(device), name)


def _evaluate_pretrained(model: Wav2Vec2ForPreTraining, _name: str) -> dict[str, Any]:
    human = with_phones(mini_librispeech())
    toy, digits = corpora.toy_speech().split("test"), corpora.fsdd()
    return evaluate_pretrained(model, Speech(human.split("train"), human.split("test"), toy, digits))


def _evaluate_recognizer(model: Wav2Vec2ForCTC, name: str) -> dict[str, Any]:
    toy = corpora.toy_speech()
    vocabulary = Vocabulary.load(pretrained_file(name, "vocab.json"))
    return evaluate_asr(model, vocabulary, toy.split("train"), toy.split("test"))


def _evaluate_speakers(model: Wav2Vec2ForSpeakerVerification, _name: str) -> dict[str, Any]:
    toy = corpora.toy_speech()
    return evaluate_speaker_model(model, toy.split("dev"), toy.split("test"), corpora.fsdd())


def _evaluate_keywords(model: Wav2Vec2ForSequenceClassification, _name: str) -> dict[str, Any]:
    return evaluate_keyword_model(model, corpora.toy_speech().split("test"), corpora.fsdd())


EVALUATIONS: dict[type[Pretrained], Callable[[Any, str], dict[str, Any]]] = {
    Wav2Vec2ForPreTraining: _evaluate_pretrained,
    Wav2Vec2ForCTC: _evaluate_recognizer,
    Wav2Vec2ForSpeakerVerification: _evaluate_speakers,
    Wav2Vec2ForSequenceClassification: _evaluate_keywords,
}
MODELS = {model.__name__: model for model in EVALUATIONS}
