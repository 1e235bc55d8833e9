"""What the context of each frame knows: probes that need no codebook, and so compare what any objective has taught."""

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
    """Frames of many utterances, and what is known of each."""

    contexts: np.ndarray  # (N, D)
    phones: np.ndarray  # (N,) what is being said in the middle of the frame
    speakers: np.ndarray  # (N,)


@torch.no_grad()
def phone_frames(model: Wav2Vec2Model, corpus: Corpus, frames: int, seed: int = 0) -> Frames:
    """The context of `frames` frames within phones, drawn at random; leaves the model in evaluation mode."""
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
    """What a frame's context says of the phone that is being spoken.

    Args:
        model: whose context is read, without any mask.
        corpus: speech with phone times, by several speakers.
        frames: how many frames are used.

    Returns:
        `phone_accuracy` of a linear probe on speakers whom it has not seen, their mean; `majority`, how often the
        commonest phone is right; `cluster_pnmi` of phone and k-means cluster.
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
    """(T, C) latent frames → (T, T) cosine of each with each, what all have in common taken away before.

    Row t scores all frames as candidates for what comes next, if the guess is: the same as now.
    """
    z = torch.nn.functional.normalize(z - z.mean(dim=0), dim=1)
    return z @ z.T


def mean_context(model: Wav2Vec2Model, corpus: Corpus) -> np.ndarray:
    """(utterances, D): the context of each utterance, averaged over its frames."""

    def pooled(x: Tensor, attention_mask: Tensor) -> np.ndarray:
        output = model(x, attention_mask)
        return mean_pooling(output.last_hidden_state, output.frame_mask).cpu().numpy()  # (B, D)

    return np.stack(for_each_utterance(model, corpus, pooled))


def linear_probe(features: np.ndarray, labels: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    """Accuracy of a logistic regression that has never seen the group it is tested on, for each group.

    Args:
        features: (n, D), scaled here to unit variance.
        labels: (n,) what to tell.
        groups: (n,) speakers.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with threadpool_limits(1):  # the matrices are small: where cores are busy, threads wait for each other for minutes
        scores = cross_val_score(classifier, features, labels, groups=groups, cv=LeaveOneGroupOut())
    return dict(zip(sorted(set(groups)), scores.tolist(), strict=True))


def phone_probe(learned: np.ndarray, phones: np.ndarray, heard: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy of a logistic regression that learns phones from some people's frames, on other people's frames.

    Args:
        learned: (n, D) frames to learn from, scaled here to unit variance.
        phones: (n,) their phones.
        heard: (N, D) frames to measure on.
        truth: (N,) theirs.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_STEPS, tol=1e-3))
    with threadpool_limits(1):
        return float(classifier.fit(learned, phones).score(heard, truth))


def cluster_phones(learned: np.ndarray, heard: np.ndarray, truth: np.ndarray, clusters: int = CLUSTERS) -> Explained:
    """What k-means clusters, found in some people's frames, say of the phones of other people's frames.

    Args:
        learned: (n, D) frames to find the clusters in.
        heard: (N, D) frames to measure on.
        truth: (N,) their phones.
        clusters: how many.
    """
    from sklearn.cluster import KMeans

    with threadpool_limits(1):
        codes = KMeans(clusters, n_init=1, random_state=0).fit(learned).predict(heard)  # (N,)
    return explained_phones(truth, codes)
