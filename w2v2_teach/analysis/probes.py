"""Probes of the context vectors: linear classifiers and k-means clusters, which need no codebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from w2v2_teach.analysis.information import (
    Explained,
    count_pairs,
    explained_phones,
    phone_normalized_mutual_information,
)
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.heads import mean_pooling
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.batching import for_each_utterance, padded_batches
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.intervals import frame_labels

CLUSTERS = 100  # of k-means, as in HuBERT's first iteration (arXiv 2106.07447)
PROBE_STEPS = 300  # of the phone probe's optimizer: more change its accuracy by less than 0.002


class Frames(NamedTuple):
    """N frames of many utterances, with their labels."""

    contexts: np.ndarray  # (N, D)
    phones: np.ndarray  # (N,) phone at the center of the frame
    speakers: np.ndarray  # (N,)


@torch.no_grad()
def phone_frames(model: Wav2Vec2Model, corpus: Corpus, frames: int, seed: int = 0) -> Frames:
    """The context vectors of `frames` frames within phones, drawn at random; leaves the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    contexts, phones, speakers = [], [], []
    for batch in padded_batches(corpus, model.config):
        output = model(batch.input_values.to(device), batch.attention_mask.to(device))
        lengths = output.frame_mask.sum(dim=1).tolist()
        for utterance, c, T in zip(batch.utterances, output.last_hidden_state.cpu(), lengths, strict=True):
            contexts.append(c[:T].numpy())
            phones.append(frame_labels(utterance.phones, frame_times(model.config, T)))
            speakers += [utterance.speaker] * T
    everything = Frames(np.concatenate(contexts), np.concatenate(phones), np.array(speakers))
    spoken = np.flatnonzero(everything.phones != "")
    drawn = np.random.default_rng(seed).permutation(spoken)[:frames]
    return Frames(*(part[drawn] for part in everything))


def context_metrics(model: Wav2Vec2Model, corpus: Corpus, frames: int = 8_000) -> dict[str, float]:
    """Phone accuracy of a linear probe on the context vectors, and PNMI of their k-means clusters.

    Args:
        model: whose context vectors are taken, without masking.
        corpus: speech with phone times, by several speakers.
        frames: number of frames to use.

    Returns:
        `phone_accuracy`, the mean over held-out speakers; `majority`, the share of the most frequent phone;
        `cluster_pnmi` of phone and cluster.
    """
    from sklearn.cluster import KMeans

    drawn = phone_frames(model, corpus, frames)
    probe = linear_probe(drawn.contexts, drawn.phones, drawn.speakers)
    clusters = KMeans(CLUSTERS, n_init=1, random_state=0).fit_predict(drawn.contexts)  # (N,)
    counts, _, _ = count_pairs(drawn.phones, clusters)
    return {
        "phone_accuracy": float(np.mean(list(probe.values()))),
        "majority": float(counts.sum(axis=1).max() / counts.sum()),
        "cluster_pnmi": phone_normalized_mutual_information(counts),
    }


def copy_scores(z: torch.Tensor) -> torch.Tensor:
    """(T, C) latent frames → (T, T) cosine similarity of all pairs, after subtraction of the mean frame.

    Row t scores all frames as candidates for a later frame, if the prediction is a copy of frame t.
    """
    z = torch.nn.functional.normalize(z - z.mean(dim=0), dim=1)
    return z @ z.T


def mean_context(model: Wav2Vec2Model, corpus: Corpus) -> np.ndarray:
    """The context vectors of each utterance, averaged over its frames, (utterances, D)."""

    def pooled(x: Tensor, attention_mask: Tensor) -> np.ndarray:
        output = model(x, attention_mask)
        return mean_pooling(output.last_hidden_state, output.frame_mask).cpu().numpy()  # (B, D)

    return np.stack(for_each_utterance(model, corpus, pooled))


def linear_probe(
    features: np.ndarray, labels: Sequence[str] | np.ndarray, groups: Sequence[str] | np.ndarray
) -> dict[str, float]:
    """Accuracy of a logistic regression for each group, trained on all other groups.

    Args:
        features: (n, D), scaled here to unit variance.
        labels: (n,) classes.
        groups: (n,) for example speakers.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with threadpool_limits(1):  # the matrices are small: where cores are busy, threads wait for each other for minutes
        scores = cross_val_score(classifier, features, labels, groups=groups, cv=LeaveOneGroupOut())
    return dict(zip(sorted(set(groups)), scores.tolist(), strict=True))


def phone_probe(train: np.ndarray, train_phones: np.ndarray, test: np.ndarray, test_phones: np.ndarray) -> float:
    """Accuracy of a logistic regression of phones on held-out speakers.

    Args:
        train: (n, D) frames of the training speakers, scaled here to unit variance.
        train_phones: (n,)
        test: (N, D) frames of the held-out speakers.
        test_phones: (N,)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_STEPS, tol=1e-3))
    with threadpool_limits(1):
        return float(classifier.fit(train, train_phones).score(test, test_phones))


def cluster_phones(train: np.ndarray, test: np.ndarray, test_phones: np.ndarray, clusters: int = CLUSTERS) -> Explained:
    """PNMI of phones and k-means clusters on held-out speakers.

    Args:
        train: (n, D) frames of the training speakers, from which the clusters are estimated.
        test: (N, D) frames of the held-out speakers.
        test_phones: (N,)
        clusters: their number.
    """
    from sklearn.cluster import KMeans

    with threadpool_limits(1):
        codes = KMeans(clusters, n_init=1, random_state=0).fit(train).predict(test)  # (N,)
    return explained_phones(test_phones, codes)
