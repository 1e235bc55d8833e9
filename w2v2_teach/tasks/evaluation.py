"""Evaluation of a pre-trained model on held-out speakers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from w2v2_teach.analysis.attention import even_attention
from w2v2_teach.analysis.chance import expected_chance
from w2v2_teach.analysis.codebooks import codebook_metrics
from w2v2_teach.analysis.information import Explained
from w2v2_teach.analysis.layers import UtteranceLayers, frame_states, layer_outputs, utterance_means
from w2v2_teach.analysis.probes import cluster_phones, linear_probe, phone_probe
from w2v2_teach.analysis.yardsticks import yardstick_outputs
from w2v2_teach.losses import sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.batching import batches_for
from w2v2_teach.speech.corpora import Corpus

LEARN_FRAMES = 20_000  # that clusters and phone probes learn from
LEARN_MINUTES = 30.0  # of speech that they are drawn from


@torch.no_grad()
def contrastive_metrics(model: Wav2Vec2ForPreTraining, corpus: Corpus, seed: int = 0) -> dict[str, float]:
    """The contrastive task on whole utterances, without dropout and Gumbel noise; leaves the model in evaluation mode.

    Returns:
        `contrastive_loss` in nats a masked frame, `accuracy`, and `masked_frames`, over how many; `chance_loss` and
        `chance_accuracy`, what blind guessing would earn with the same distractors.
    """
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
    totals = np.zeros(5)  # loss, correct, chance loss, chance accuracy, masked frames
    for x, attention_mask, _ in batches_for(model, corpus):  # (B, L) each
        mask = time_mask(model.config.frame_lengths(attention_mask.sum(dim=1)), model.config, generator)  # (B, T)
        negatives = sample_negatives(mask, model.config.num_negatives, generator)
        output = model(x, mask, negatives, attention_mask)
        chance = expected_chance(output.quantized.codes, negatives)
        N = output.num_masked
        totals += [output.contrastive_loss.item(), output.num_correct.item(), N * chance.loss, N * chance.accuracy, N]
    loss, correct, chance_loss, chance_accuracy, frames = totals.tolist()
    return {
        "contrastive_loss": loss / frames,
        "accuracy": correct / frames,
        "chance_loss": chance_loss / frames,
        "chance_accuracy": chance_accuracy / frames,
        "masked_frames": int(frames),
    }


def even_attention_cost(model: Wav2Vec2ForPreTraining, corpus: Corpus, loss: float) -> float:
    """Nats a masked frame that the contrastive loss rises by when no head may choose where to look.

    Args:
        model: to be measured.
        corpus: to measure on.
        loss: the model's `contrastive_loss` on it as it is, from `contrastive_metrics`.
    """
    with even_attention(model.wav2vec2):
        return contrastive_metrics(model, corpus)["contrastive_loss"] - loss


class Speech(NamedTuple):
    """The corpora for the evaluation of a pre-trained model, by held-out speakers except for `learn`."""

    learn: Corpus  # with phone times, by other speakers than `human`: to train clusters and phone probes
    human: Corpus  # with phone times
    toy: Corpus  # with phone times
    digits: Corpus  # recordings of single digits, by several human speakers


def evaluate_pretrained(model: Wav2Vec2ForPreTraining, speech: Speech) -> dict[str, dict[str, Any]]:
    """Everything for a model, for the same model with its first, random weights, and for features without learning.

    Returns:
        "trained" and "untrained": numbers on the toy corpus; those on human speech begin with "human_", and "best_"
        stands before those of the layer that is best at it. "layers" within them, and "yardsticks" beside them: what
        each layer, and what log-mel energies and MFCCs say (`layer_metrics`).
    """
    speech = speech._replace(learn=speech.learn.minutes(min(LEARN_MINUTES, 60 * speech.learn.hours)))
    torch.manual_seed(0)
    untrained = Wav2Vec2ForPreTraining(model.config).to(next(model.parameters()).device)
    results = {name: _network(network, speech) for name, network in (("trained", model), ("untrained", untrained))}

    learn, human, digits = (yardstick_outputs(part) for part in (speech.learn, speech.human, speech.digits))
    yardsticks = layer_metrics(learn, human, digits)
    pairs = results["trained"]["human_code_tuples"]
    train, test = frame_states(learn, LEARN_FRAMES), frame_states(human)
    clusters = cluster_phones(train.layers["log-mel"], test.layers["log-mel"], test.labels, pairs)
    yardsticks["log-mel, as many clusters as pairs"] = {"clusters": pairs, **_named("cluster_pnmi", clusters)}
    return {**results, "yardsticks": yardsticks}


def _network(model: Wav2Vec2ForPreTraining, speech: Speech) -> dict[str, Any]:
    """What `evaluate_pretrained` says of one network."""
    on_toy = contrastive_metrics(model, speech.toy) | codebook_metrics(model, speech.toy)
    on_human = contrastive_metrics(model, speech.human) | codebook_metrics(model, speech.human)
    on_human["even_attention_cost"] = even_attention_cost(model, speech.human, on_human["contrastive_loss"])
    learn, human, digits = (layer_outputs(model.wav2vec2, part) for part in (speech.learn, speech.human, speech.digits))
    layers = layer_metrics(learn, human, digits)
    best = {f"best_{key}": max(layer[key] for layer in layers.values()) for key in ("cluster_pnmi", "phone_accuracy")}
    by_speaker = linear_probe(
        utterance_means(digits)[f"layer {model.config.num_hidden_layers}"],  # the context
        [utterance.text for utterance in speech.digits],
        [utterance.speaker for utterance in speech.digits],
    )
    return {
        **on_toy,
        "digit_accuracy": float(np.mean(list(by_speaker.values()))),
        "best_digit_accuracy": max(layer["digit_accuracy"] for layer in layers.values()),
        **{f"human_{key}": value for key, value in (on_human | best).items()},
        "digit_accuracy_by_speaker": by_speaker,
        "layers": layers,
    }


def layer_metrics(
    learn: Sequence[UtteranceLayers], human: Sequence[UtteranceLayers], digits: Sequence[UtteranceLayers]
) -> dict[str, dict[str, float]]:
    """PNMI of k-means clusters and accuracy of linear probes for each layer: layer → metric → number.

    Phones: clusters and probe are trained on `LEARN_FRAMES` frames of `learn` and measured on all frames of `human`.
    Digits: from the mean frame of a recording, on held-out speakers.
    """
    train, test, means = frame_states(learn, LEARN_FRAMES), frame_states(human), utterance_means(digits)
    texts, speakers = [d.utterance.text for d in digits], [d.utterance.speaker for d in digits]
    return {
        name: {
            **_named("cluster_pnmi", cluster_phones(train.layers[name], test.layers[name], test.labels)),
            "phone_accuracy": phone_probe(train.layers[name], train.labels, test.layers[name], test.labels),
            "digit_accuracy": float(np.mean(list(linear_probe(means[name], texts, speakers).values()))),
        }
        for name in means
    }


def _named(name: str, explained: Explained) -> dict[str, float]:
    return {name: explained.pnmi, f"{name}_shuffled": explained.shuffled}
