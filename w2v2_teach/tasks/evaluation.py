"""What a pre-trained model knows of speakers that it has never heard."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.analysis.probes import linear_probe, mean_context
from w2v2_teach.losses import sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.batching import padded_batches
from w2v2_teach.speech.corpora import Corpus


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
    for batch in padded_batches(corpus, model.config):
        attention_mask = batch.attention_mask.to(device)  # (B, L)
        mask = time_mask(model.config.frame_lengths(attention_mask.sum(dim=1)), model.config, generator)  # (B, T)
        negatives = sample_negatives(mask, model.config.num_negatives, generator)
        output = model(batch.input_values.to(device), mask, negatives, attention_mask)
        loss += output.contrastive_loss.item()
        correct += int(output.num_correct)
        frames += output.num_masked
    return {"contrastive_loss": loss / frames, "accuracy": correct / frames, "masked_frames": frames}


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
