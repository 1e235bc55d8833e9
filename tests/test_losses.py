"""The contrastive task by hand, who may be a negative, and the two regularizers."""

import math

import pytest
import torch
from torch.nn import functional as F

from w2v2_teach.losses import (
    arcface_logits,
    arcface_loss,
    contrastive_logits,
    contrastive_loss,
    diversity_loss,
    feature_penalty,
    sample_negatives,
)

LN = math.log


def ragged_mask(lengths: list[int], frames: int, share: float) -> torch.Tensor:
    """(B, T) bool: about `share` of each row's real frames are masked, at least two, and no padding."""
    real = torch.arange(frames) < torch.tensor(lengths)[:, None]  # (B, T)
    mask = real & (torch.rand(len(lengths), frames) < share)
    mask[:, :2] = True
    return mask


def plain_logits(c, q, codes, negatives, kappa):
    """(N, K + 1), one cosine after the other."""
    rows = []
    for n, own in enumerate(negatives.tolist()):
        row = [F.cosine_similarity(c[n], q[n], dim=0) / kappa]
        for other in own:
            same = torch.equal(codes[other], codes[n])
            row.append(torch.tensor(-math.inf) if same else F.cosine_similarity(c[n], q[other], dim=0) / kappa)
        rows.append(torch.stack(row))
    return torch.stack(rows)


# --- negatives ---


@pytest.mark.parametrize("seed", range(5))
def test_each_negative_is_another_masked_frame_of_the_same_utterance(seed):
    torch.manual_seed(seed)
    lengths, T, K = [60, 41, 23, 9], 60, 100
    mask = ragged_mask(lengths, T, share=0.4)
    negatives = sample_negatives(mask, K)
    row, frame = mask.nonzero(as_tuple=True)  # (N,) each: which utterance and which frame the N positions are
    N = len(row)
    assert negatives.shape == (N, K)
    assert negatives.dtype == torch.long
    for n in range(N):
        drawn = negatives[n]
        assert ((drawn >= 0) & (drawn < N)).all()
        assert (drawn != n).all(), "the frame itself"
        assert (row[drawn] == row[n]).all(), "another utterance"
        assert mask[row[drawn], frame[drawn]].all(), "an unmasked frame"
        assert (frame[drawn] < lengths[row[n]]).all(), "padding"


def test_negatives_are_uniform_over_the_others():
    mask = torch.tensor([[True, False, True, True, True], [True, True, True, False, False]])
    K = 40_000
    negatives = sample_negatives(mask, K)
    for n, others in enumerate([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [5, 6], [4, 6], [4, 5]]):
        counts = negatives[n].bincount(minlength=7)
        assert counts.nonzero().flatten().tolist() == others
        share = 1 / len(others)
        deviation = math.sqrt(share * (1 - share) / K)  # of a share, over K draws
        assert (counts[others] / K - share).abs().max() < 5 * deviation


def test_two_masked_frames_are_each_others_only_negative():
    assert sample_negatives(torch.tensor([[True, True, False]]), 3).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_an_utterance_without_masked_frames_has_no_rows():
    mask = torch.tensor([[True, True], [False, False], [True, True]])
    assert sample_negatives(mask, 1).tolist() == [[1], [0], [3], [2]]


def test_a_single_masked_frame_is_refused():
    with pytest.raises(ValueError, match="Utterance 1 has one masked frame"):
        sample_negatives(torch.tensor([[True, True, True], [False, True, False]]), 5)


def test_the_same_generator_gives_the_same_negatives():
    mask = ragged_mask([30, 20], 30, share=0.5)
    a, b, c = (sample_negatives(mask, 50, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


# --- contrastive loss ---


def test_contrastive_loss_by_hand():
    # Three frames on the circle: the context of frame 0 points at its target, q1 is at a right angle, q2 opposite.
    q = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])  # (N, d): lengths must not matter
    c = torch.tensor([[5.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    codes = torch.tensor([[0], [1], [2]])
    negatives = torch.tensor([[1, 2], [0, 2], [0, 1]])
    logits = contrastive_logits(c, q, codes, negatives, kappa=0.5)
    r = math.sqrt(0.5)  # cos 45°
    wanted = torch.tensor([[1, 0, -1], [r, r, -r], [0, 0, 1]]) / 0.5
    torch.testing.assert_close(logits, wanted)
    by_hand = (
        LN(1 + math.exp(-2) + math.exp(-4))  # frame 0: right, and sure
        + LN(2 + math.exp(-4 * r))  # frame 1: one negative is as close as the target
        + LN(2 + math.exp(2))  # frame 2: a negative wins
    )
    assert contrastive_loss(logits).item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("kappa", [0.1, 1.0])
def test_logits_equal_the_plain_double_loop(kappa):
    mask = ragged_mask([30, 17], 30, share=0.5)
    negatives = sample_negatives(mask, 20)
    N = len(negatives)
    c, q, codes = torch.randn(N, 8), torch.randn(N, 8), torch.randint(3, (N, 2))
    logits = contrastive_logits(c, q, codes, negatives, kappa)
    plain = plain_logits(c, q, codes, negatives, kappa)
    assert torch.equal(logits.isinf(), plain.isinf())
    assert logits.isinf().any()
    torch.testing.assert_close(logits, plain, atol=1e-5, rtol=0)


def test_a_negative_with_the_targets_codes_scores_minus_infinity():
    q = torch.randn(4, 6)
    codes = torch.tensor([[1, 2], [1, 2], [1, 3], [0, 2]])  # one code in common is not enough
    negatives = torch.tensor([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    logits = contrastive_logits(torch.randn(4, 6), q, codes, negatives, kappa=0.1)
    assert logits.isinf().tolist() == [
        [False, True, False, False],
        [False, True, False, False],
        [False, False, False, False],
        [False, False, False, False],
    ]
    assert (logits[logits.isinf()] < 0).all()


def test_all_codes_alike_is_loss_zero_and_no_gradient():
    c = torch.randn(5, 6, requires_grad=True)
    q = torch.randn(5, 6, requires_grad=True)
    negatives = sample_negatives(torch.ones(1, 5, dtype=torch.bool), 7)
    loss = contrastive_loss(contrastive_logits(c, q, torch.zeros(5, 2, dtype=torch.long), negatives, kappa=0.1))
    loss.backward()
    assert loss.item() == 0
    assert c.grad.abs().max() == 0
    assert q.grad.abs().max() == 0


@pytest.mark.parametrize("K", [1, 100])
def test_a_constant_context_gives_ln_k_plus_1(K):
    # q lies on a circle around c, so that every cosine is the same
    angles = torch.rand(12) * 2 * math.pi
    q = torch.stack([angles.cos(), angles.sin(), torch.ones(12)], dim=1)  # (N, 3)
    c = torch.tensor([[0.0, 0.0, 4.0]]).expand(12, 3)
    negatives = sample_negatives(torch.ones(1, 12, dtype=torch.bool), K)
    loss = contrastive_loss(contrastive_logits(c, q, torch.arange(12)[:, None], negatives, kappa=0.1)) / 12
    assert loss.item() == pytest.approx(LN(K + 1), rel=1e-5)


def test_length_does_not_matter_and_the_loss_is_a_sum():
    c, q, codes = torch.randn(9, 4), torch.randn(9, 4), torch.arange(9)[:, None]
    negatives = sample_negatives(torch.ones(1, 9, dtype=torch.bool), 5)
    logits = contrastive_logits(c, q, codes, negatives, kappa=0.1)
    scaled = contrastive_logits(3 * c, 0.01 * q, codes, negatives, kappa=0.1)
    torch.testing.assert_close(logits, scaled, atol=1e-5, rtol=0)
    each = torch.stack([contrastive_loss(row[None]) for row in logits])  # (N,)
    torch.testing.assert_close(contrastive_loss(logits), each.sum())


def test_gradients_are_right_to_rounding():
    c, q = (torch.randn(6, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    negatives = sample_negatives(torch.ones(1, 6, dtype=torch.bool), 4)
    codes = torch.tensor([[0], [1], [2], [0], [3], [4]])

    def loss(c, q):  # in double precision all through, unlike `contrastive_logits`
        cosine = F.normalize(c, dim=-1) @ F.normalize(q, dim=-1).T
        logits = cosine.gather(1, torch.cat([torch.arange(6)[:, None], negatives], dim=1)) / 0.1
        same = (codes[negatives] == codes[:, None]).all(dim=-1)
        return contrastive_loss(logits.masked_fill(F.pad(same, (1, 0)), -math.inf))

    wanted = torch.autograd.grad(loss(c, q), (c, q))
    got = torch.autograd.grad(contrastive_loss(contrastive_logits(c, q, codes, negatives, 0.1)), (c, q))
    for ours, exact in zip(got, wanted, strict=True):
        assert (ours - exact).norm() / exact.norm() < 1e-5


def test_low_precision_is_compared_in_single_precision():
    c, q = torch.randn(5, 4).bfloat16(), torch.randn(5, 4).bfloat16()
    negatives = sample_negatives(torch.ones(1, 5, dtype=torch.bool), 3)
    codes = torch.arange(5)[:, None]
    logits = contrastive_logits(c, q, codes, negatives, kappa=0.1)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, contrastive_logits(c.float(), q.float(), codes, negatives, kappa=0.1))


# --- diversity and feature penalty ---


def test_diversity_loss_by_hand():
    G, V = 2, 4
    even, one = torch.full((V,), 1 / V), F.one_hot(torch.tensor(2), V).float()
    half = torch.tensor([0.5, 0.5, 0.0, 0.0])
    for books, perplexity in (((even, even), 8), ((one, one), 2), ((half, even), 6), ((half, one), 3)):
        assert diversity_loss(torch.stack(books)).item() == pytest.approx((G * V - perplexity) / (G * V), abs=1e-6)


@pytest.mark.parametrize("concentration", [0.01, 1.0, 100.0])
def test_diversity_loss_lies_between_0_and_1(concentration):
    for _ in range(20):
        mean_probs = torch.distributions.Dirichlet(torch.full((2, 32), concentration)).sample()  # (G, V)
        assert -1e-6 <= diversity_loss(mean_probs).item() <= 1 - 1 / 32 + 1e-6  # perplexity is at least G


def test_diversity_pushes_down_what_is_used_most():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]], requires_grad=True)  # (G, V) of one frame
    diversity_loss(logits.softmax(dim=-1)).backward()
    assert logits.grad[0, 0] > 0  # a step against the gradient lowers it
    assert logits.grad[0, 3] < 0


def test_feature_penalty_is_the_mean_square():
    z = torch.tensor([[[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]])  # (B, T, C)
    assert feature_penalty(z).item() == pytest.approx((1 + 4 + 9 + 1 + 1) / 8)
    assert feature_penalty(torch.zeros(2, 3, 4)).item() == 0


# --- ArcFace ---------------------------------------------------------------------------------------------------------


def plain_arcface_logits(embeddings, weights, labels, margin, scale, *, easy_margin):
    """(N, S), one angle after the other, by acos, in double precision."""
    rows = []
    for x, label in zip(embeddings.double(), labels.tolist(), strict=True):
        row = []
        for j, w in enumerate(weights.double()):
            cosine = float(x @ w / (x.norm() * w.norm()))
            angle = math.acos(max(-1, min(1, cosine)))
            if j == label:
                if easy_margin:
                    cosine = math.cos(angle + margin) if cosine > 0 else cosine
                else:
                    cosine = (
                        math.cos(angle + margin) if angle < math.pi - margin else cosine - margin * math.sin(margin)
                    )
            row.append(scale * cosine)
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize("easy_margin", [False, True])
@pytest.mark.parametrize(("margin", "scale"), [(0.5, 64.0), (0.2, 30.0), (1.5, 1.0)])
def test_arcface_equals_the_plain_version_by_acos(margin, scale, easy_margin):
    x, w, labels = torch.randn(400, 3), 5 * torch.randn(4, 3), torch.randint(4, (400,))
    logits = arcface_logits(x, w, labels, margin, scale, easy_margin=easy_margin)
    plain = plain_arcface_logits(x, w, labels, margin, scale, easy_margin=easy_margin)
    torch.testing.assert_close(logits, plain, atol=1e-4 * scale, rtol=0)
    angles = (F.normalize(x, dim=1) * F.normalize(w, dim=1)[labels]).sum(dim=1).acos()
    assert (angles > math.pi - margin).any(), "no case beyond π - m"
    assert (angles < math.pi / 2).any()


def test_arcface_by_hand():
    x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])  # at 60° and 30° from their classes
    w = torch.tensor([[0.5, 3**0.5 / 2], [-1.0, 0.0]])
    logits = arcface_logits(x, w, torch.tensor([0, 0]), margin=math.pi / 6, scale=10)
    wanted = 10 * torch.tensor([[0.0, -1.0], [0.5, 0.0]])  # cos 90°, cos 180°; cos 60°, cos 90°
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=0)
    loss = arcface_loss(x, w, torch.tensor([0, 0]), margin=math.pi / 6, scale=10)
    assert loss.item() == pytest.approx(LN(1 + math.exp(-10)) + LN(1 + math.exp(-5)), rel=1e-4)


@pytest.mark.parametrize("easy_margin", [False, True])
def test_arcface_without_margin_is_a_scaled_softmax(easy_margin):
    x, w, labels = torch.randn(30, 8), torch.randn(5, 8), torch.randint(5, (30,))
    cosines = F.normalize(x, dim=1) @ F.normalize(w, dim=1).T
    wanted = F.cross_entropy(30 * cosines, labels, reduction="sum")
    torch.testing.assert_close(arcface_loss(x, w, labels, 0.0, 30.0, easy_margin=easy_margin), wanted)


def test_arcface_does_not_see_lengths():
    x, w, labels = torch.randn(30, 8), torch.randn(5, 8), torch.randint(5, (30,))
    longer = arcface_loss(7 * x, torch.rand(5, 1) * w, labels, 0.5, 10.0)
    torch.testing.assert_close(longer, arcface_loss(x, w, labels, 0.5, 10.0))


def test_a_margin_costs_and_a_larger_one_costs_more():
    x, w, labels = torch.randn(30, 8), torch.randn(5, 8), torch.randint(5, (30,))
    losses = [arcface_loss(x, w, labels, margin, 30.0).item() for margin in (0, 0.2, 0.5, 1)]
    assert losses == sorted(set(losses))


@pytest.mark.parametrize("easy_margin", [False, True])
def test_farther_from_its_class_never_pays(easy_margin):
    angles = torch.linspace(0, math.pi, 721)
    x = torch.stack([angles.cos(), angles.sin()], dim=1)
    logits = arcface_logits(
        x, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.zeros(721, dtype=torch.long), 0.5, 1, easy_margin=easy_margin
    )
    falls = logits[:, 0].diff() < 1e-6
    if easy_margin:  # its price: at 90° it jumps up by sin m
        assert (~falls).sum() == 1
        assert logits[:, 0].diff().max().item() == pytest.approx(math.sin(0.5), abs=0.01)
    else:
        assert falls.all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("near", [0.0, 1e-8, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_arcface_gradients_stay_finite_and_small_at_cosines_of_one(sign, near, dtype):
    """At θ = 0 and θ = π acos and √(1 - cos²) have no finite derivative; the loss has one all around."""
    w = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=dtype, requires_grad=True)
    x = torch.tensor([[sign, near, 0.0]], dtype=dtype, requires_grad=True)
    for margin in (0.0, 0.5):
        gradients = torch.autograd.grad(arcface_loss(x, w, torch.tensor([0]), margin, 30.0), (x, w))
        for gradient in gradients:
            assert gradient.isfinite().all()
            assert gradient.norm() <= 2 * 30 + 1e-3


def test_the_gradient_is_that_of_the_formula():
    x = torch.randn(6, 4, requires_grad=True)
    w = torch.randn(3, 4)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    (ours,) = torch.autograd.grad(arcface_loss(x, w, labels, 0.3, 8.0), x)
    cosine = F.normalize(x, dim=1) @ F.normalize(w, dim=1).T
    own = F.one_hot(labels, 3).bool()
    theirs = F.cross_entropy(8 * torch.where(own, (cosine.acos() + 0.3).cos(), cosine), labels, reduction="sum")
    safe = (cosine.acos() < math.pi - 0.3)[own]  # elsewhere the formula grows again
    assert safe.sum() >= 3
    torch.testing.assert_close(ours[safe], torch.autograd.grad(theirs, x)[0][safe], atol=1e-4, rtol=1e-3)


def test_arcface_is_exact_under_autocast():
    x, w, labels = torch.randn(30, 8), torch.randn(5, 8), torch.randint(5, (30,))
    wanted = arcface_logits(x, w, labels, 0.2, 30.0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(arcface_logits(x, w, labels, 0.2, 30.0), wanted)
