"""What the model is trained on: tell the true quantized frame from distractors (arXiv 2006.11477, Section 3.2)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.quantizer import perplexity


def sample_negatives(mask: Tensor, K: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw K distractors for every masked frame, with replacement, among the other masked frames of its utterance.

    Args:
        mask: (B, T) bool, True for masked frames.
        K: distractors for each.
        generator: source of the random numbers, on the mask's device.

    Returns:
        (N, K) long: positions among the batch's N masked frames, in the order of `x[mask]`.

    Raises:
        ValueError: an utterance with a single masked frame, which leaves nothing to draw from.
    """
    counts = mask.sum(dim=1)  # (B,) masked frames of each utterance
    if (counts == 1).any():
        raise ValueError(f"Utterance {int((counts == 1).nonzero()[0])} has one masked frame, and thus no distractors.")
    first = counts.cumsum(dim=0) - counts  # (B,) position of each utterance's first masked frame
    counts, first = counts.repeat_interleave(counts), first.repeat_interleave(counts)  # (N,), now for every frame
    own = torch.arange(len(counts), device=mask.device) - first  # (N,) position within its utterance
    u = torch.rand(len(counts), K, generator=generator, device=mask.device)  # (N, K)
    others = (u * (counts - 1)[:, None]).long()  # (N, K) in 0 … count - 2
    others += others >= own[:, None]  # step over the frame itself
    return first[:, None] + others


def contrastive_logits(c: Tensor, q: Tensor, codes: Tensor, negatives: Tensor, kappa: float) -> Tensor:
    """Cosine similarity of each context with its target and its distractors, over κ.

    Each context is compared with all N targets in one matrix product, and its own K + 1 are gathered from that.

    Args:
        c: (N, d) context at the masked frames, projected.
        q: (N, d) quantized targets there, projected.
        codes: (N, G) long, the codes behind the targets: a distractor with the target's codes is the target.
        negatives: (N, K) long, from `sample_negatives`.
        kappa: κ, temperature.

    Returns:
        (N, K + 1): the target first; -inf for a distractor that equals the target.
    """
    cosine = F.normalize(c.float(), dim=-1) @ F.normalize(q.float(), dim=-1).T  # (N, N)
    own = torch.arange(len(c), device=c.device)[:, None]  # (N, 1)
    logits = cosine.gather(1, torch.cat([own, negatives], dim=1)) / kappa  # (N, K + 1)
    same = (codes[negatives] == codes[:, None]).all(dim=-1)  # (N, K)
    return logits.masked_fill(F.pad(same, (1, 0)), float("-inf"))  # never the target's own column


def contrastive_loss(logits: Tensor) -> Tensor:
    """L_m summed over the N frames, in nats: -log softmax of the target, column 0 of `contrastive_logits` (eq. 3)."""
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long), reduction="sum")


def diversity_loss(mean_probs: Tensor) -> Tensor:
    """(G·V - perplexity) / G·V of the average distributions (G, V): 0 where all entries are used alike.

    The paper writes the negative entropy, averaged over entries (eq. 4); fairseq, whose loss this is, takes the
    exponential of the entropy first. Both have their minimum at the uniform distribution.
    """
    return 1 - perplexity(mean_probs) / mean_probs.numel()


def feature_penalty(z: Tensor) -> Tensor:
    """Mean of z² over (B, T, C): keeps the encoder's outputs from growing (fairseq)."""
    return z.float().square().mean(dim=(1, 2)).mean()


def arcface_logits(
    embeddings: Tensor, weights: Tensor, labels: Tensor, margin: float, scale: float, *, easy_margin: bool = False
) -> Tensor:
    """Cosines between embeddings and classes times s, that of the own class at an angle larger by m (arXiv 1801.07698).

    cos(θ + m) grows again where θ + m exceeds π, which would reward an embedding for moving away from its class. There,
    as in the authors' code, cos θ - m sin m takes its place, which falls all the way.

    Args:
        embeddings: (N, E) of any length.
        weights: (S, E), a direction for each class, of any length.
        labels: (N,) long, the own class of each.
        margin: m, in radians, below π.
        scale: s, the length that all embeddings are given.
        easy_margin: ask for the margin only where θ < 90°, and for plain cos θ beyond: gentler while training begins.

    Returns:
        (N, S)
    """
    x, w = F.normalize(embeddings.float(), dim=1), F.normalize(weights.float(), dim=1)
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 would know a cosine to 0.004 only
        cosine = x @ w.T  # (N, S)
    own = (x * w[labels]).sum(dim=1, keepdim=True)  # (N, 1) cos θ
    # sin θ is the length of what is left of x beside w. So written, its gradient is at most 1; that of √(1 - cos² θ),
    # or of acos, has no bound near cos θ = ±1.
    sine = (x - own * w[labels]).norm(dim=1, keepdim=True)  # (N, 1)
    moved = own * math.cos(margin) - sine * math.sin(margin)  # cos(θ + m)
    if easy_margin:
        moved = torch.where(own > 0, moved, own)
    else:
        moved = torch.where(own > -math.cos(margin), moved, own - margin * math.sin(margin))
    return scale * cosine.scatter(1, labels[:, None], moved)


def arcface_loss(
    embeddings: Tensor, weights: Tensor, labels: Tensor, margin: float, scale: float, *, easy_margin: bool = False
) -> Tensor:
    """The additive angular margin loss (arXiv 1801.07698, equation 3) summed over the N embeddings, in nats.

    Arguments as in `arcface_logits`. With margin 0 it is the softmax over scaled cosines.
    """
    logits = arcface_logits(embeddings, weights, labels, margin, scale, easy_margin=easy_margin)
    return F.cross_entropy(logits, labels, reduction="sum")
