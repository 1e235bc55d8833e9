"""Speaker verification: fine-tuning with ArcFace on the training speakers, equal error rate on held-out speakers."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from w2v2_teach.analysis.layers import utterance_means
from w2v2_teach.analysis.verification import (
    Trials,
    all_pairs,
    detection_errors,
    equal_error_rate,
    error_rates_at,
    interval,
    resampled_equal_error_rates,
)
from w2v2_teach.analysis.yardsticks import yardstick_outputs
from w2v2_teach.heads import Wav2Vec2ForSpeakerVerification
from w2v2_teach.losses import arcface_loss
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.finetuning import Finetuning, MicroBatch, begin_finetuning
from w2v2_teach.tasks.settings import LayerSumSettings
from w2v2_teach.training.settings import SettingsError, setting
from w2v2_teach.training.task import Losses

MEASURED_SECONDS = 4.0  # of an utterance, from its middle, where speakers are compared: read sentences take up to 17 s


@dataclass(frozen=True)
class SpeakerSettings(LayerSumSettings):
    """`LayerSumSettings` and ArcFace's own. The defaults are common in speaker verification."""

    mask_time_prob: float = setting(0.0, "p·M, the share of frames that spans would mask if none overlapped")
    mask_feature_prob: float = setting(0.0, "the share of channels that spans would set to zero if none overlapped")
    dropout: float = setting(0.2, "on the pooled statistics")
    crop_seconds: float | None = setting(3.0, "longest crop of an utterance, in seconds")
    embedding_dim: int = setting(512, "E, width of a speaker embedding")
    margin: float = setting(0.2, "m, added to the angle between an embedding and its own class, in radians")
    scale: float = setting(30.0, "s, factor on the cosines")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("embedding_dim", self.embedding_dim >= 1, "1 or more")
        self.require("margin", 0 <= self.margin < np.pi, "in [0, π)")
        self.require("scale", self.scale > 0, "more than 0")


# For TINY on two CPU cores. Its channels are a fifth of BASE's, and so are the spans over them.
TINY_SPEAKER_RECIPE = SpeakerSettings(
    updates=400,
    batch_size=32,
    learning_rate=2e-3,
    warmup_updates=20,
    hold_updates=200,
    freeze_context_updates=200,
    rate_decay=0.3,
    crop_seconds=1.5,
    speed=0.0,  # at another speed it would sound like another speaker
    mask_time_length=5,
    mask_feature_length=16,
    dropout=0.3,
    keep_layers=1,
    embedding_dim=128,
    margin=0.5,
    scale=10.0,
)


class SpeakerRecognition(Finetuning[SpeakerSettings]):
    """Task: classify the training speakers with `Wav2Vec2ForSpeakerVerification` and ArcFace."""

    progress_metrics = ("loss", "accuracy")
    recipes: ClassVar = {"base": SpeakerSettings(), "tiny": TINY_SPEAKER_RECIPE}
    model: Wav2Vec2ForSpeakerVerification

    @classmethod
    def begin(cls, start: str, settings: SpeakerSettings, train: Corpus, dev: Corpus) -> "SpeakerRecognition":
        """With a class for each speaker of `train`, on a weighted sum of the layers that are kept.

        The context network has no dropout: it would make the frames' standard deviation, half of what is pooled,
        larger in training than in evaluation.

        Raises:
            SettingsError: the dev speakers make no pairs to measure on.
        """
        for part in dev.parts:
            of_each = Counter(utterance.speaker for utterance in part).values()
            if len(of_each) < 2 or max(of_each) < 2:
                raise SettingsError(f"{part.name} must have two speakers, one of them with two utterances, to measure.")
        head = {
            **settings.config_fields(),
            "labels": train.speakers,
            "speaker_embedding_dim": settings.embedding_dim,
            "hidden_dropout": 0.0,
        }
        model = begin_finetuning(Wav2Vec2ForSpeakerVerification, start, settings, **head)
        return cls(model, settings, train, joined([part.middles(MEASURED_SECONDS) for part in dev.parts]))

    def losses(self, model: nn.Module, micro_batch: MicroBatch) -> Losses:
        """ArcFace's loss in nats, and how many embeddings are nearest to the class of their speaker."""
        inputs, utterances = micro_batch
        output = model(**inputs)
        embeddings, weights = output.embeddings, output.class_weights  # (B, E), (S, E)
        names = self.model.config.labels
        labels = torch.tensor([names.index(u.speaker) for u in utterances], device=embeddings.device)  # (B,)
        loss = arcface_loss(embeddings, weights, labels, self.settings.margin, self.settings.scale)
        cosines = F.normalize(embeddings) @ F.normalize(weights).T  # (B, S)
        return Losses(loss, {"accuracy": (cosines.argmax(dim=1) == labels).sum()})

    def evaluate(self) -> dict[str, float]:
        """Equal error rate over all pairs of the dev speakers' utterances: of each corpus, and `eer`, their mean."""
        rates = [verification_metrics(speaker_trials(self.model, part))["eer"] for part in self.dev.parts]
        self.model.train()
        of_each = {f"eer_{part.name}": rate for part, rate in zip(self.dev.parts, rates, strict=True)}
        return {"eer": float(np.mean(rates)), **(of_each if len(rates) > 1 else {})}


def speaker_embeddings(model: Wav2Vec2ForSpeakerVerification, corpus: Corpus) -> np.ndarray:
    """The embedding of each utterance, (utterances, E); leaves the model in evaluation mode."""
    return np.stack(for_each_utterance(model, corpus, lambda x, mask: model(x, mask).embeddings.cpu().numpy()))


def speaker_trials(model: Wav2Vec2ForSpeakerVerification, corpus: Corpus) -> Trials:
    """The trials of all pairs of the corpus' utterances."""
    return all_pairs(speaker_embeddings(model, corpus), [utterance.speaker for utterance in corpus])


def verification_metrics(trials: Trials) -> dict[str, float]:
    """`eer`, the equal error rate as a share; its `threshold`; and `trials`, the number of pairs."""
    rate, threshold = equal_error_rate(detection_errors(trials))
    return {"eer": rate, "threshold": threshold, "trials": len(trials.scores)}


def evaluate_speaker_model(
    model: Wav2Vec2ForSpeakerVerification, dev: Corpus, toy: Corpus, human: Corpus
) -> dict[str, dict[str, Any]]:
    """Verification of held-out speakers: by a model, by the same network with random weights, and without learning.

    Args:
        model: fine-tuned.
        dev: for the choice of a threshold.
        toy: other speakers, and
        human: people; pairs are made within each of the two. Where a person has read in one room only, as in Mini
            LibriSpeech, the room and the microphone help to tell them apart: the yardsticks show how far.

    Returns:
        "trained", "untrained", and "yardsticks" → mean MFCCs, log-mel energies and chance: `verification_metrics` and
        the 95 % interval over `speakers`, `eer_low` to `eer_high`; those of `human` begin with `human_`. Of the trained
        model also its errors at the threshold of `dev`.
    """
    torch.manual_seed(0)
    untrained = type(model)(model.config).to(next(model.parameters()).device)
    threshold = verification_metrics(speaker_trials(model, dev))["threshold"]
    found: dict[str, dict[str, float]] = {"trained": {"dev_threshold": threshold}, "untrained": {}, "chance": {}}
    for prefix, corpus in (("", toy), ("human_", human)):
        speakers = [utterance.speaker for utterance in corpus]
        embeddings = mean_yardsticks(corpus)
        embeddings |= {"trained": speaker_embeddings(model, corpus), "untrained": speaker_embeddings(untrained, corpus)}
        for name, x in embeddings.items():
            metrics = verification_metrics(all_pairs(x, speakers)) | {"speakers": len(set(speakers))}
            metrics["eer_low"], metrics["eer_high"] = interval(resampled_equal_error_rates(x, speakers))
            found.setdefault(name, {}).update({prefix + key: value for key, value in metrics.items()})
        accepts, rejects = error_rates_at(all_pairs(embeddings["trained"], speakers), threshold)
        found["trained"] |= {f"{prefix}false_accepts": accepts, f"{prefix}false_rejects": rejects}
        found["chance"][f"{prefix}eer"] = 0.5
    return {"trained": found.pop("trained"), "untrained": found.pop("untrained"), "yardsticks": found}


def mean_yardsticks(corpus: Corpus) -> dict[str, np.ndarray]:
    """Embeddings without learning: mean log-mel energies and the 13 mean MFCCs, standardized over the recordings."""
    means = utterance_means(yardstick_outputs(corpus))
    kept = {"log-mel": means["log-mel"], "MFCC": means["MFCC"][:, :13]}  # differences are 0 on average
    return {name: (x - x.mean(axis=0)) / x.std(axis=0) for name, x in kept.items()}
