"""Connectionist temporal classification (Graves et al., ICML 2006): learn to write without knowing when what is said.

A path is one token for each frame. Collapsing it (equal neighbors become one, then blanks vanish) gives a text, and
the probability of a text is that of all paths which collapse to it. The lattice adds them up in T steps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.errors import CourseError

LOG_ZERO = -1e30  # log 0: finite, for -inf - (-inf) would be NaN in a gradient


class CTCError(CourseError, ValueError):
    """A target that no path of so few frames collapses to."""


def collapse(path: Iterable[int], blank: int = 0) -> list[int]:
    """One token a frame → text: equal neighbors become one, then blanks vanish (the paper's B, Section 3.1)."""
    return [token for token, _ in groupby(path) if token != blank]


def extended_labels(targets: Tensor, blank: int = 0) -> Tensor:
    """Targets (..., U) → the lattice's states (..., S = 2U + 1): a blank before, between and after their tokens."""
    states = targets.new_full((*targets.shape[:-1], 2 * targets.shape[-1] + 1), blank)
    states[..., 1::2] = targets
    return states


def frames_needed(targets: Tensor, target_lengths: Tensor) -> Tensor:
    """(B, U) and (B,) → (B,) frames of the shortest path: one a token, and one for a blank between two equal tokens."""
    repeats = targets[:, 1:] == targets[:, :-1]  # (B, U - 1)
    real = torch.arange(1, repeats.shape[1] + 1, device=targets.device) < target_lengths[:, None]
    return target_lengths + (repeats & real).sum(dim=1)


def skip_costs(states: Tensor) -> Tensor:
    """(..., S) → (..., S): 0 where a path may come from two states before, leaving out the blank, else `LOG_ZERO`.

    It may between different tokens. Between equal ones the blank must stay, or they would collapse into one; and two
    blanks have a token between them, which must not be left out.
    """
    before = F.pad(states, (2, 0), value=-1)[..., :-2]  # (..., S) the state two before; the first two have none
    allowed = (states != before) & (before != -1)
    return torch.where(allowed, 0.0, LOG_ZERO)


def arrivals(alpha: Tensor, skips: Tensor) -> Tensor:
    """(..., S) → (3, ..., S): log α of the states from which each state can be reached: itself, the one, two before."""
    padded = F.pad(alpha, (2, 0), value=LOG_ZERO)  # (..., S + 2)
    return torch.stack([alpha, padded[..., 1:-1], padded[..., :-2] + skips])


def forward_variables(emissions: Tensor, skips: Tensor) -> Tensor:
    """log α_t(s): all prefixes of paths that are in state s at frame t (equations 5 to 7).

    Args:
        emissions: (B, T, S) log probability of each state's token at each frame.
        skips: (B, S) from `skip_costs`.

    Returns:
        (B, T, S)
    """
    first, *rest = emissions.unbind(dim=1)  # (B, S) each
    start = torch.full_like(first, LOG_ZERO)
    start[:, :2] = 0  # a path begins with the blank or with the first token
    alpha = [start + first]
    for emission in rest:
        alpha.append(arrivals(alpha[-1], skips).logsumexp(dim=0) + emission)
    return torch.stack(alpha, dim=1)


def final_log_likelihood(alpha: Tensor, frame_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """(B, T, S) log α → (B,): paths end with the last token or with the blank after it (equation 8)."""
    last = alpha[torch.arange(len(alpha), device=alpha.device), frame_lengths - 1]  # (B, S)
    end = 2 * target_lengths[:, None]  # (B, 1) the blank's state
    blank = last.gather(1, end)[:, 0]  # (B,)
    token = last.gather(1, (end - 1).clamp(min=0))[:, 0].masked_fill(target_lengths == 0, LOG_ZERO)
    return torch.logaddexp(blank, token)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    frame_lengths: Tensor,
    target_lengths: Tensor,
    ids: Sequence[str] | None = None,
    *,
    blank: int = 0,
) -> Tensor:
    """-log P(target | frames) of each utterance, in nats; autograd goes back through the lattice.

    Args:
        log_probs: (B, T, V) log softmax.
        targets: (B, U) token ids without blanks, padded with any id.
        frame_lengths: (B,) real frames, at least 1.
        target_lengths: (B,) real tokens; 0 is allowed.
        ids: names of the utterances, for the error message.
        blank: its token id.

    Returns:
        (B,)

    Raises:
        CTCError: a target that needs more frames than there are.
    """
    _check_lengths(targets, frame_lengths, target_lengths, ids)
    states = extended_labels(targets, blank)  # (B, S)
    tokens = states[:, None].expand(-1, log_probs.shape[1], -1)  # (B, T, S)
    alpha = forward_variables(log_probs.gather(2, tokens), skip_costs(states))
    return -final_log_likelihood(alpha, frame_lengths, target_lengths)


def _check_lengths(targets: Tensor, frames: Tensor, lengths: Tensor, ids: Sequence[str] | None = None) -> None:
    needed = frames_needed(targets, lengths)  # (B,)
    for row in (needed > frames).nonzero()[:1, 0].tolist():
        name = f"Utterance {row} of the batch" if ids is None else f"Utterance {ids[row]}"
        raise CTCError(
            f"{name} has {int(frames[row])} frames, and its target needs {int(needed[row])}: one for each of its "
            f"{int(lengths[row])} tokens, and {int(needed[row] - lengths[row])} for blanks between equal neighbors."
        )


@dataclass(frozen=True)
class Lattice:
    """All paths of T frames that collapse to one target, state by state; logarithms in nats."""

    states: Tensor  # (S,) the token of each state: blank, first token, blank, second token, …, blank
    skips: Tensor  # (S,) from `skip_costs`
    alpha: Tensor  # (T, S) log probability of the frames up to t, in state s at t
    beta: Tensor  # (T, S) log probability of the frames after t, given state s at t
    log_likelihood: Tensor  # () log P(target | frames)

    @property
    def posteriors(self) -> Tensor:
        """(T, S) probability that a path which collapses to the target is in state s at frame t; rows add up to 1."""
        return (self.alpha + self.beta - self.log_likelihood).exp()


def ctc_lattice(log_probs: Tensor, target: Sequence[int], blank: int = 0) -> Lattice:
    """The lattice of one utterance.

    Args:
        log_probs: (T, V) log softmax.
        target: U token ids; none is allowed.
        blank: its token id.

    Raises:
        CTCError: the target needs more than T frames.
    """
    states, skips, emissions = _one_utterance(log_probs, target, blank)
    alpha = forward_variables(emissions[None], skips[None])  # (1, T, S)
    likelihood = final_log_likelihood(alpha, torch.tensor([len(log_probs)]), torch.tensor([len(target)]))
    return Lattice(states, skips, alpha[0], backward_variables(emissions, skips), likelihood[0])


def backward_variables(emissions: Tensor, skips: Tensor) -> Tensor:
    """log β_t(s): all continuations, after frame t, of paths that are in state s at t, (T, S).

    The paper's β counts frame t as well, and therefore divides by its probability again (equations 9 to 11 and 14).
    """
    beta = torch.full_like(emissions[0], LOG_ZERO)  # (S,)
    beta[-2:] = 0  # a path ends with the last token or with the blank after it
    rows = [beta]
    for emission in emissions[1:].flip(0):
        onward = F.pad(beta + emission, (0, 2), value=LOG_ZERO)  # (S + 2,) go to a state at the next frame, and on
        skipping = onward[2:] + F.pad(skips, (0, 2), value=LOG_ZERO)[2:]  # (S,)
        beta = torch.stack([onward[:-2], onward[1:-1], skipping]).logsumexp(dim=0)
        rows.append(beta)
    return torch.stack(rows[::-1])


def _one_utterance(log_probs: Tensor, target: Sequence[int], blank: int) -> tuple[Tensor, Tensor, Tensor]:
    """States (S,), skip costs (S,) and emissions (T, S)."""
    tokens = torch.tensor(list(target), dtype=torch.long, device=log_probs.device)  # (U,)
    _check_lengths(tokens[None], torch.tensor([len(log_probs)]), torch.tensor([len(target)]))
    states = extended_labels(tokens, blank)
    return states, skip_costs(states), log_probs[:, states]


def best_path(log_probs: Tensor, target: Sequence[int], blank: int = 0) -> list[int]:
    """The likeliest of all paths that collapse to the target (Viterbi): the lattice's state at each of the T frames.

    Arguments and errors as in `ctc_lattice`.
    """
    _, skips, emissions = _one_utterance(log_probs, target, blank)
    score = torch.full_like(emissions[0], LOG_ZERO)  # (S,)
    score[:2] = emissions[0, :2]
    back = []  # for each later frame (S,): 0, 1 or 2 states back
    for emission in emissions[1:]:
        score, step = arrivals(score, skips).max(dim=0)  # a maximum where the lattice has a sum
        score = score + emission
        back.append(step.tolist())
    end = len(skips) - 1
    path = [end if end == 0 or score[end] >= score[end - 1] else end - 1]
    for step in reversed(back):
        path.append(path[-1] - step[path[-1]])
    return path[::-1]


class TokenSpan(NamedTuple):
    """Frames first … last - 1, which forced alignment gives to a token."""

    token: int  # id
    first: int
    last: int  # exclusive
    confidence: float  # mean probability of the token in these frames


def forced_alignment(log_probs: Tensor, target: Sequence[int], blank: int = 0) -> list[TokenSpan]:
    """When each token of a known text is said: its frames on the best path; blank frames belong to no token.

    Arguments and errors as in `ctc_lattice`.
    """
    path = best_path(log_probs, target, blank)  # (T,)
    spans = []
    for u, token in enumerate(target):
        first, last = path.index(2 * u + 1), len(path) - path[::-1].index(2 * u + 1)
        spans.append(TokenSpan(int(token), first, last, float(log_probs[first:last, token].exp().mean())))
    return spans
