"""What blind guessing earns in the contrastive task, given the distractors that were drawn."""

from typing import NamedTuple

import torch
from torch import Tensor


class Chance(NamedTuple):
    """Of one draw, averaged over its N masked frames."""

    accuracy: float  # how often one candidate, picked blindly among those that differ, is the target
    loss: float  # nats, of giving all candidates the same score


def expected_chance(codes: Tensor, negatives: Tensor) -> Chance:
    """The accuracy and the loss of guessing blindly: better than 1/(K + 1) and ln(K + 1).

    Distractors are drawn with replacement, and candidates with the same codes are one vector. So whoever scores vectors
    blindly chooses among fewer than K + 1 of them. A distractor that equals the target is struck out, and counts in
    neither; one that was drawn twice stands in the loss twice.

    Args:
        codes: (N, G) of the targets.
        negatives: (N, K) positions among the N, from `sample_negatives`.
    """
    vector = codes.unique(dim=0, return_inverse=True)[1]  # (N,) one number for each vector that occurs
    own, drawn = vector[:, None], vector[negatives]  # (N, 1), (N, K)
    candidates = torch.cat([own, drawn], dim=1).sort(dim=1).values  # (N, K + 1)
    different = 1 + (candidates[:, 1:] != candidates[:, :-1]).sum(dim=1)  # (N,)
    standing = 1 + (drawn != own).sum(dim=1)  # (N,) the target, and the distractors that are not struck out
    return Chance((1 / different).mean().item(), standing.log().mean().item())
