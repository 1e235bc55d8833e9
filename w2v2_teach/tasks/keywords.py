"""Keyword spotting: keywords cut from sentences, fine-tuning of a classifier, and its accuracy."""

from collections import Counter
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from w2v2_teach.heads import Wav2Vec2ForSequenceClassification
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import DIGITS, Corpus
from w2v2_teach.tasks.finetuning import Finetuning, MicroBatch, begin_finetuning
from w2v2_teach.tasks.settings import LayerSumSettings
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.task import Losses

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
KEYWORDS = (*DIGITS, *COMMANDS)
CONTEXT = 0.1  # s before and after a word, because neighboring phones overlap


def cut_keywords(corpus: Corpus) -> Corpus:
    """A corpus of the single keywords, cut by their word times with `CONTEXT` seconds before and after.

    A corpus without word times, such as one of single digits, is returned as it is; joined corpora are cut one by one.
    """
    return joined([_cut(part) for part in corpus.parts])


def _cut(corpus: Corpus) -> Corpus:
    if not any(utterance.words for utterance in corpus):
        return corpus
    pieces = [
        u.piece(max(0.0, w.start - CONTEXT), min(u.duration, w.end + CONTEXT), f"{u.id}-{number}", w.label)
        for u in corpus
        for number, w in enumerate(u.words)
        if w.label in KEYWORDS
    ]
    return Corpus(f"keywords of {corpus.name}", pieces)


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
    narrowband=0.5,  # FSDD's people, and many a microphone, have nothing above 4 kHz
    freeze_encoder=False,
)


class KeywordSpotting(Finetuning[LayerSumSettings]):
    """Task: classify keywords with `Wav2Vec2ForSequenceClassification` and cross-entropy."""

    progress_metrics = ("loss", "accuracy")
    recipes: ClassVar = {"base": LayerSumSettings(), "tiny": TINY_KEYWORD_RECIPE}
    model: Wav2Vec2ForSequenceClassification

    @classmethod
    def begin(cls, start: str, settings: LayerSumSettings, train: Corpus, dev: Corpus) -> "KeywordSpotting":
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
        names = self.model.config.labels
        labels = torch.tensor([names.index(u.text) for u in utterances], device=logits.device)  # (B,)
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        return Losses(loss, {"accuracy": (logits.argmax(dim=1) == labels).sum()})

    def evaluate(self) -> dict[str, float]:
        """Accuracy on the dev speakers' words."""
        metrics = keyword_metrics(self.model, self.dev)
        self.model.train()
        return metrics


def predicted_words(model: Wav2Vec2ForSequenceClassification, corpus: Corpus) -> list[str]:
    """The most likely label of each utterance; leaves the model in evaluation mode."""
    likeliest = for_each_utterance(model, corpus, lambda x, mask: model(x, mask).argmax(dim=1).tolist())
    return [model.config.labels[label] for label in likeliest]


def keyword_metrics(model: Wav2Vec2ForSequenceClassification, corpus: Corpus) -> dict[str, float]:
    """`accuracy` as a share; `words`, their number; `chance`, the share of the most frequent word."""
    said = [utterance.text for utterance in corpus]
    right = [word == text for word, text in zip(predicted_words(model, corpus), said, strict=True)]
    chance = max(Counter(said).values()) / len(said)
    return {"accuracy": float(np.mean(right)), "words": len(right), "chance": chance}


def evaluate_keyword_model(
    model: Wav2Vec2ForSequenceClassification, toy: Corpus, human: Corpus, fsdd: Corpus
) -> dict[str, float]:
    """`keyword_metrics` on held-out speakers.

    Args:
        model: fine-tuned.
        toy: sentences with word times, from which the keywords are cut.
        human: the same, by human speakers.
        fsdd: recordings of single digits by human speakers.

    Returns:
        The metrics of `toy`, and those of the others, whose names begin with `human_` and `fsdd_`.
    """
    speech = {"": toy, "human_": human, "fsdd_": fsdd}
    of_each = {prefix: keyword_metrics(model, cut_keywords(corpus)) for prefix, corpus in speech.items()}
    return {prefix + name: value for prefix, metrics in of_each.items() for name, value in metrics.items()}
