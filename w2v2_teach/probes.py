"""What the context of each frame knows: probes that need no codebook, and so compare what any objective has taught."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans

from w2v2_teach.analysis import count_pairs, frame_labels, frame_times, phone_normalised_mutual_information
from w2v2_teach.batching import padded_batches
from w2v2_teach.corpus import Corpus
from w2v2_teach.evaluation import linear_probe
from w2v2_teach.model import Wav2Vec2Model

CLUSTERS = 100  # of k-means, as in HuBERT's first iteration (arXiv 2106.07447)


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
    for batch in padded_batches(corpus):
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
    drawn = phone_frames(model, corpus, frames)
    probe = linear_probe(drawn.contexts, drawn.phones, drawn.speakers)
    clusters = KMeans(CLUSTERS, n_init=1, random_state=0).fit_predict(drawn.contexts)  # (N,)
    counts, _, _ = count_pairs(drawn.phones, clusters)
    return {
        "phone_accuracy": float(np.mean(list(probe.values()))),
        "majority": float(counts.sum(axis=1).max() / counts.sum()),
        "cluster_pnmi": phone_normalised_mutual_information(counts),
    }


def copy_scores(z: torch.Tensor) -> torch.Tensor:
    """(T, C) latent frames → (T, T) cosine of each with each, what all have in common taken away before.

    Row t scores all frames as candidates for what comes next, if the guess is: the same as now.
    """
    z = torch.nn.functional.normalize(z - z.mean(dim=0), dim=1)
    return z @ z.T
