"""What a pre-trained model knows of speakers that it has never heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from w2v2_teach.analysis import count_pairs, entropy, phone_normalised_mutual_information
from w2v2_teach.analysis.codebooks import corpus_codes
from w2v2_teach.batching import for_each_utterance, padded_batches
from w2v2_teach.corpus import Corpus
from w2v2_teach.losses import sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model


@torch.no_grad()
def contrastive_metrics(model: Wav2Vec2ForPreTraining, corpus: Corpus, seed: int = 0) -> dict[str, float]:
    """The contrastive task on whole utterances, without dropout and Gumbel noise; leaves the model in evaluation mode.

    Returns:
        `contrastive_loss` in nats a masked frame, `accuracy`, and `masked_frames`, over how many.
    """
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    loss, correct, frames = 0.0, 0, 0
    for batch in padded_batches(corpus):
        attention_mask = batch.attention_mask.to(device)  # (B, L)
        mask = time_mask(model.config.frame_lengths(attention_mask.sum(dim=1)), model.config, generator)  # (B, T)
        negatives = sample_negatives(mask, model.config.num_negatives, generator)
        output = model(batch.input_values.to(device), mask, negatives, attention_mask)
        loss += output.contrastive_loss.item()
        correct += int(output.num_correct)
        frames += output.num_masked
    return {"contrastive_loss": loss / frames, "accuracy": correct / frames, "masked_frames": frames}


def codebook_metrics(model: Wav2Vec2ForPreTraining, corpus: Corpus) -> dict[str, float]:
    """How the codes of all frames are used, and what they say about the phones.

    Returns:
        `usage_perplexity` between G and G·V; `pnmi` of phone and joined code; `code_tuples`, how many joined codes
        occur.
    """
    coded = corpus_codes(model, corpus)
    counts, _, tuples = count_pairs(coded.phones, coded.joined)
    return {
        "usage_perplexity": float(sum(np.exp(entropy(np.bincount(book))) for book in coded.codes.T)),
        "pnmi": phone_normalised_mutual_information(counts),
        "code_tuples": len(tuples),
    }


def mean_context(model: Wav2Vec2Model, corpus: Corpus) -> np.ndarray:
    """(utterances, D): the context of each utterance, averaged over its frames."""

    def pooled(x: Tensor, attention_mask: Tensor) -> np.ndarray:
        output = model(x, attention_mask)
        frames = output.frame_mask[:, :, None]  # (B, T, 1)
        return ((output.last_hidden_state * frames).sum(dim=1) / frames.sum(dim=1)).cpu().numpy()  # (B, D)

    return np.stack(for_each_utterance(model, corpus, pooled))


def linear_probe(features: np.ndarray, labels: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    """Accuracy of a logistic regression that has never seen the group it is tested on, for each group.

    Args:
        features: (n, D), scaled here to unit variance.
        labels: (n,) what to tell.
        groups: (n,) speakers.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with threadpool_limits(1):  # the matrices are small: where cores are busy, threads wait for each other for minutes
        scores = cross_val_score(classifier, features, labels, groups=groups, cv=LeaveOneGroupOut())
    return dict(zip(sorted(set(groups)), scores.tolist(), strict=True))


def evaluate_pretrained(model: Wav2Vec2ForPreTraining, test: Corpus, digits: Corpus) -> dict[str, dict[str, Any]]:
    """Everything above for a model and, beside it, for the same model with its first, random weights.

    Args:
        model: what has been trained.
        test: speech with phone times, by speakers that the model has not heard.
        digits: one spoken digit a recording, by several speakers.
    """
    torch.manual_seed(0)
    untrained = Wav2Vec2ForPreTraining(model.config).to(next(model.parameters()).device)
    results = {}
    for name, network in (("trained", model), ("untrained", untrained)):
        probe = linear_probe(
            mean_context(network.wav2vec2, digits), [u.text for u in digits], [u.speaker for u in digits]
        )
        results[name] = {
            **contrastive_metrics(network, test),
            **codebook_metrics(network, test),
            "digit_accuracy": float(np.mean(list(probe.values()))),
            "digit_accuracy_by_speaker": probe,
        }
    return results
