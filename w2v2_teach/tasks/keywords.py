"""Keyword spotting: keywords cut from sentences, fine-tuning of a classifier, and its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.heads import Wav2Vec2ForSequenceClassification
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.corpora import DIGITS, Corpus, Utterance
from w2v2_teach.speech.intervals import Interval
from w2v2_teach.tasks.finetuning import Finetuning, LayerSumSettings, MicroBatch, begin_finetuning
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.task import Losses

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
KEYWORDS = (*DIGITS, *COMMANDS)
CONTEXT = 0.1  # s before and after a word, because neighboring phones overlap


def cut_keywords(corpus: Corpus) -> Corpus:
    """A corpus of the single keywords, cut by their word times with `CONTEXT` seconds before and after.

    A corpus without word times, such as one of single digits, is returned as it is.
    """
    if not any(utterance.words for utterance in corpus):
        return corpus
    pieces = [
        _piece(utterance, number, word)
        for utterance in corpus
        for number, word in enumerate(utterance.words)
        if word.label in KEYWORDS
    ]
    return Corpus(f"keywords of {corpus.name}", pieces)


def _piece(utterance: Utterance, number: int, word: Interval) -> Utterance:
    start, end = max(0.0, word.start - CONTEXT), min(utterance.duration, word.end + CONTEXT)
    return replace(
        utterance,
        id=f"{utterance.id}-{number}",
        text=word.label,
        num_samples=int((end - start) * SAMPLE_RATE),
        phones=(),
        words=(),
        offset=start,
    )


# For TINY on two CPU cores. Its channels are a fifth of BASE's, and so are the spans over them.
TINY_KEYWORD_RECIPE = LayerSumSettings(
    updates=500,
    batch_size=32,
    learning_rate=2e-3,
    warmup_updates=50,
    hold_updates=200,
    mask_time_prob=0.0,  # a word is hardly longer than a few spans
    mask_time_length=5,
    mask_feature_prob=0.0,
    mask_feature_length=16,
    speed=0.15,
)


class KeywordSpotting(Finetuning[LayerSumSettings]):
    """Task: classify keywords with `Wav2Vec2ForSequenceClassification` and cross-entropy."""

    progress_metrics = ("loss", "accuracy")
    recipes: ClassVar = {"base": LayerSumSettings(), "tiny": TINY_KEYWORD_RECIPE}
    model: Wav2Vec2ForSequenceClassification

    @classmethod
    def begin(cls, start: str, settings: LayerSumSettings, train: Corpus, dev: Corpus) -> KeywordSpotting:
        """With a class for each word of `train`, on a weighted sum of the layers that are kept.

        Raises:
            SettingsError: the speech for training or for measuring has no keywords.
        """
        train, dev = cut_keywords(train), cut_keywords(dev)
        for corpus in (train, dev):
            if not corpus:
                raise SettingsError(f"{corpus.name}: there are none; they are {', '.join(KEYWORDS)}.")
        labels = tuple(sorted({utterance.text for utterance in train}))
        head = {**settings.config_fields(), "labels": labels}
        model = begin_finetuning(Wav2Vec2ForSequenceClassification, start, settings, **head)
        return cls(model, settings, train, dev)

    def losses(self, model: nn.Module, micro_batch: MicroBatch) -> Losses:
        """Cross-entropy in nats, and how many words are classified correctly."""
        inputs, utterances = micro_batch
        logits = model(**inputs)  # (B, labels)
        labels = label_ids(self.model.config.labels, utterances).to(logits.device)
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        return Losses(loss, {"accuracy": (logits.argmax(dim=1) == labels).sum()})

    def evaluate(self) -> dict[str, float]:
        """Accuracy on the dev speakers' words."""
        metrics = keyword_metrics(self.model, self.dev)
        self.model.train()
        return metrics


def label_ids(labels: Sequence[str], utterances: Sequence[Utterance]) -> Tensor:
    """(B,) long, the position of each utterance's text among the labels."""
    return torch.tensor([labels.index(utterance.text) for utterance in utterances])


def predicted_words(model: Wav2Vec2ForSequenceClassification, corpus: Corpus) -> list[str]:
    """The most likely label of each utterance; leaves the model in evaluation mode."""
    likeliest = for_each_utterance(model, corpus, lambda x, mask: model(x, mask).argmax(dim=1).tolist())
    return [model.config.labels[label] for label in likeliest]


def keyword_metrics(model: Wav2Vec2ForSequenceClassification, corpus: Corpus) -> dict[str, float]:
    """`accuracy` as a share, and `words`, their number."""
    right = [word == u.text for word, u in zip(predicted_words(model, corpus), corpus, strict=True)]
    return {"accuracy": float(np.mean(right)), "words": len(right)}


def evaluate_keyword_model(model: Wav2Vec2ForSequenceClassification, test: Corpus, fsdd: Corpus) -> dict[str, float]:
    """`keyword_metrics` on held-out speakers.

    Args:
        model: fine-tuned.
        test: sentences, from which the keywords are cut.
        fsdd: recordings of single digits by human speakers.

    Returns:
        The metrics of `test`, and those of `fsdd`, whose names begin with `fsdd_`.
    """
    of_fsdd = {f"fsdd_{name}": value for name, value in keyword_metrics(model, fsdd).items()}
    return {**keyword_metrics(model, cut_keywords(test)), **of_fsdd}
