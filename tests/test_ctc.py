"""The lattice is torch's CTC loss in values and gradients, sums over all paths, and aligns as a search of all paths."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from w2v2_teach import ctc
from w2v2_teach.ctc import CTCError, TokenSpan, best_path, collapse, ctc_lattice, ctc_loss, forced_alignment


def random_case(seed, B=4, T=24, U=8, V=4):
    """Logits (B, T, V), and few letters, so that repeats are frequent; one target is empty, one fills its frames."""
    torch.manual_seed(seed)
    logits = torch.randn(B, T, V, requires_grad=True)
    targets = torch.randint(1, V, (B, U))
    target_lengths = torch.randint(1, U + 1, (B,))
    target_lengths[0], target_lengths[1] = 0, U
    needed = ctc.frames_needed(targets, target_lengths)
    frame_lengths = needed + (torch.rand(B) * (T + 1 - needed)).long()
    frame_lengths[1], frame_lengths[2] = needed[1], T
    frame_lengths[0] = frame_lengths[0].clamp(min=1)
    return logits, targets, frame_lengths, target_lengths


def all_paths(log_probs, target):
    """(paths, their log probabilities) of those that collapse to the target, one after the other."""
    T, V = log_probs.shape
    paths = [path for path in itertools.product(range(V), repeat=T) if collapse(path) == list(target)]
    return paths, [math.fsum(float(log_probs[t, token]) for t, token in enumerate(path)) for path in paths]


# --- collapse and states ----------------------------------------------------------------------------------------------


def test_collapse_merges_first_and_drops_blanks_then():
    assert collapse([0, 1, 1, 0, 1, 2, 2, 0]) == [1, 1, 2]
    assert collapse([1, 1, 1]) == [1]
    assert collapse([0, 0]) == collapse([]) == []
    assert collapse([3, 0, 3, 1], blank=3) == [0, 1]


def test_extended_labels_of_one_and_of_a_batch():
    assert ctc.extended_labels(torch.tensor([2, 2, 1])).tolist() == [0, 2, 0, 2, 0, 1, 0]
    assert ctc.extended_labels(torch.tensor([[1], [2]]), blank=3).tolist() == [[3, 1, 3], [3, 2, 3]]
    assert ctc.extended_labels(torch.tensor([], dtype=torch.long)).tolist() == [0]


def test_a_blank_is_left_out_between_different_tokens_only():
    skips = ctc.skip_costs(ctc.extended_labels(torch.tensor([2, 2, 1])))
    assert (skips == 0).tolist() == [False, False, False, False, False, True, False]


# --- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_values_and_gradients_are_torchs(seed):
    logits, targets, frames, lengths = random_case(seed)
    weights = torch.rand(len(logits))
    ours = ctc_loss(logits.log_softmax(-1), targets, frames, lengths)
    theirs = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, frames, lengths, reduction="none")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-6)
    gradients = [torch.autograd.grad((loss * weights).sum(), logits)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=0)


@pytest.mark.parametrize("blank", [1, 3])
def test_another_blank(blank):
    logits, targets, frames, lengths = random_case(0)
    targets = torch.where(targets == blank, 0, targets)
    frames = frames.clamp(min=16)
    ours = ctc_loss(logits.log_softmax(-1), targets, frames, lengths, blank=blank)
    theirs = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, frames, lengths, blank, reduction="none")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-6)


def test_padding_has_no_say():
    logits, targets, frames, lengths = random_case(1)
    other_logits, other_targets = logits.detach().clone(), targets.clone()
    for row in range(len(logits)):
        other_logits[row, frames[row] :] = 50 * torch.randn_like(other_logits[row, frames[row] :])
        other_targets[row, lengths[row] :] = 0
    whole = ctc_loss(logits.log_softmax(-1), targets, frames, lengths)
    assert torch.equal(ctc_loss(other_logits.log_softmax(-1), other_targets, frames, lengths), whole)


def test_a_target_without_tokens_and_a_batch_of_such():
    log_probs = torch.randn(2, 5, 3).log_softmax(-1)
    nothing = torch.empty(2, 0, dtype=torch.long)
    loss = ctc_loss(log_probs, nothing, torch.tensor([5, 3]), torch.tensor([0, 0]))
    torch.testing.assert_close(loss, -torch.stack([log_probs[0, :, 0].sum(), log_probs[1, :3, 0].sum()]))


def test_one_long_utterance_keeps_its_digits():
    log_probs = (10 * torch.randn(1, 2000, 30)).log_softmax(-1)
    target = torch.randint(1, 30, (1, 400))
    args = target, torch.tensor([2000]), torch.tensor([400])
    theirs = F.ctc_loss(log_probs.transpose(0, 1).double(), *args, reduction="none")
    torch.testing.assert_close(ctc_loss(log_probs, *args).double(), theirs, rtol=1e-5, atol=0)


def test_impossible_tokens_give_finite_gradients():
    logits = torch.zeros(1, 6, 3)
    logits[0, :, 2] = -1e4  # the target's second token, nowhere
    logits.requires_grad_()
    loss = ctc_loss(logits.log_softmax(-1), torch.tensor([[1, 2]]), torch.tensor([6]), torch.tensor([2])).sum()
    loss.backward()
    assert loss > 1e3
    assert logits.grad.isfinite().all()


# --- targets that do not fit ------------------------------------------------------------------------------------------


def test_frames_needed_counts_real_repeats():
    targets = torch.tensor([[1, 1, 2, 2], [1, 1, 1, 1], [3, 2, 1, 1], [1, 1, 1, 1]])
    assert ctc.frames_needed(targets, torch.tensor([4, 4, 3, 0])).tolist() == [6, 7, 3, 0]


def test_a_target_longer_than_its_frames_names_the_utterance_and_both_numbers():
    log_probs = torch.randn(2, 9, 5).log_softmax(-1)
    targets = torch.tensor([[1, 2, 3, 0], [4, 4, 4, 1]])
    frames, lengths = torch.tensor([9, 5]), torch.tensor([3, 4])
    with pytest.raises(CTCError, match=r"F1-007 has 5 frames, .* needs 6: .* its 4 tokens, and 2 for blanks"):
        ctc_loss(log_probs, targets, frames, lengths, ["M1-001", "F1-007"])
    with pytest.raises(CTCError, match="Utterance 1 of the batch has 5 frames"):
        ctc_loss(log_probs, targets, frames, lengths)
    for function in (ctc_lattice, forced_alignment):
        with pytest.raises(CTCError, match="has 5 frames"):
            function(log_probs[0, :5], [4, 4, 4, 1])
    assert ctc_loss(log_probs, targets, torch.tensor([9, 6]), lengths).isfinite().all()


# --- the lattice ------------------------------------------------------------------------------------------------------

TARGETS = [[], [1], [1, 1], [1, 2], [2, 2, 1], [1, 2, 1, 2]]


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_lattice_sums_over_all_paths(target):
    log_probs = torch.randn(6, 3).log_softmax(-1)
    paths, scores = all_paths(log_probs, target)
    lattice = ctc_lattice(log_probs, target)
    torch.testing.assert_close(lattice.log_likelihood, torch.tensor(scores).logsumexp(0))

    shares = torch.zeros(6, 3)  # of each token at each frame, path by path
    for path, score in zip(paths, scores, strict=True):
        shares[torch.arange(6), torch.tensor(path)] += math.exp(score - float(lattice.log_likelihood))
    tokens = torch.zeros(6, 3).index_add(1, lattice.states, lattice.posteriors)
    torch.testing.assert_close(tokens, shares, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_every_frame_has_the_whole_probability(target):
    lattice = ctc_lattice(torch.randn(9, 4).log_softmax(-1), target)
    torch.testing.assert_close((lattice.alpha + lattice.beta).logsumexp(1), lattice.log_likelihood.expand(9))
    torch.testing.assert_close(lattice.posteriors.sum(1), torch.ones(9))


def test_posteriors_are_the_gradient():
    log_probs = torch.randn(8, 4).log_softmax(-1).requires_grad_()
    target = [2, 2, 3]
    ctc_loss(log_probs[None], torch.tensor([target]), torch.tensor([8]), torch.tensor([3])).sum().backward()
    lattice = ctc_lattice(log_probs.detach(), target)
    tokens = torch.zeros(8, 4).index_add(1, lattice.states, lattice.posteriors)
    torch.testing.assert_close(-log_probs.grad, tokens, atol=1e-5, rtol=1e-4)


# --- alignment --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_best_path_is_the_best_of_all(target, seed):
    torch.manual_seed(seed)
    log_probs = torch.randn(6, 3).log_softmax(-1)
    paths, scores = all_paths(log_probs, target)
    states = ctc_lattice(log_probs, target).states
    assert tuple(states[best_path(log_probs, target)].tolist()) == paths[scores.index(max(scores))]


def test_spans_by_hand():
    probs = torch.tensor(
        [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2], [0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]
    )
    spans = forced_alignment(probs.log(), [1, 1, 2])
    assert [span[:3] for span in spans] == [(1, 1, 3), (1, 4, 5), (2, 5, 6)]
    assert [span.confidence for span in spans] == pytest.approx([0.7, 0.7, 0.8])
    assert forced_alignment(probs.log(), []) == []
    assert forced_alignment(probs[1:2].log(), [1]) == [TokenSpan(1, 0, 1, pytest.approx(0.8))]
