"""The quantizer: equal to transformers' with the same noise, perplexity and Gumbel softmax by hand, the look-up."""

import math
from dataclasses import replace

import pytest
import torch
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

from w2v2_teach.config import BASE, Wav2Vec2Config
from w2v2_teach.quantizer import GumbelVectorQuantizer, gumbel_noise, gumbel_softmax, one_hot, perplexity
from w2v2_teach.reference import transformers_config
from w2v2_teach.training.schedules import gumbel_temperature

TOLERANCE = 1e-5  # of the largest number compared
SMALL = Wav2Vec2Config(
    conv_dim=(8,),
    conv_kernel=(2,),
    conv_stride=(2,),
    num_codevector_groups=2,
    num_codevectors_per_group=5,
    codevector_dim=6,
)


def random_configuration(seed):
    generator = torch.Generator().manual_seed(seed)

    def pick(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    groups = pick(1, 5)  # G
    return replace(
        SMALL,
        conv_dim=(pick(4, 40),),  # C
        num_codevector_groups=groups,
        num_codevectors_per_group=pick(2, 50),  # V
        codevector_dim=groups * pick(1, 20),  # d
    )


def assert_equal_to_scale(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("seed", range(8))
def test_outputs_perplexity_and_gradients_are_those_of_transformers(seed, training):
    config = random_configuration(seed)
    ours = GumbelVectorQuantizer(config).train(training)
    torch.nn.init.normal_(ours.weight_proj.bias)  # fresh ones are zero, and would show nothing
    theirs = Wav2Vec2GumbelVectorQuantizer(transformers_config(config)).train(training)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    theirs.temperature = temperature = [2.0, 1.0, 0.5, 0.1][seed % 4]

    z = torch.randn(3, 17, config.conv_dim[-1])  # (B, T, C)
    mask = torch.rand(3, 17) < 0.5  # (B, T)
    gradient = torch.randn(int(mask.sum()), config.codevector_dim)  # (N, d), of some loss
    books = config.num_codevector_groups, config.num_codevectors_per_group
    torch.manual_seed(seed)
    noise = gumbel_noise(torch.empty(3, 17, *books))  # (B, T, G, V), for the reference quantizes every frame

    results = []
    for quantizer in (ours, theirs):
        x = z.clone().requires_grad_()
        if quantizer is ours:
            output = quantizer(x[mask], temperature, noise[mask])
            q = output.codevectors
            reported = perplexity(output.mean_probs if training else output.code_probs)
        else:
            torch.manual_seed(seed)  # so that it draws the same noise
            every, reported = quantizer(x, mask)  # (B, T, d)
            q = every[mask]
        ((q * gradient).sum() + reported).backward()
        weights = quantizer.weight_proj
        gradients = (x.grad, quantizer.codevectors.grad, weights.weight.grad, weights.bias.grad)
        results.append((q.detach(), reported.detach(), *gradients))

    for mine, reference in zip(*results, strict=True):
        if not training and mine is None:  # argmax lets nothing through to the logits
            assert reference is None
            continue
        assert_equal_to_scale(mine, reference)
    assert (results[0][2] is None) == (not training)


def test_it_draws_its_noise_in_training_and_needs_none_in_evaluation():
    quantizer = GumbelVectorQuantizer(SMALL)
    z = torch.randn(200, 8)  # (N, C)
    assert not torch.equal(quantizer(z).codes, quantizer(z).codes)
    torch.manual_seed(3)
    noise = gumbel_noise(torch.empty(200, 2, 5))
    torch.manual_seed(3)
    assert torch.equal(quantizer(z).codes, quantizer(z, noise=noise).codes)
    quantizer.eval()
    assert torch.equal(quantizer(z).codes, quantizer.logits(z).argmax(-1))
    assert torch.equal(quantizer(z).codevectors, quantizer(z, noise=noise).codevectors)


def test_each_book_gives_an_entry_of_its_own():
    quantizer = GumbelVectorQuantizer(SMALL)
    for training in (True, False):
        output = quantizer.train(training)(torch.randn(50, 8))
        assert output.codes.shape == (50, 2)
        books = quantizer.codevectors[0]  # (G·V, d/G), the second book after the first
        for q, (first, second) in zip(output.codevectors, output.codes, strict=True):
            torch.testing.assert_close(q, torch.cat([books[first], books[5 + second]]), atol=1e-6, rtol=0)


def test_the_look_up_is_that_of_a_plain_loop():
    quantizer = GumbelVectorQuantizer(SMALL)
    z, noise = torch.randn(20, 8), gumbel_noise(torch.empty(20, 2, 5))
    output = quantizer(z, 0.7, noise)
    for n in range(20):
        joined, logits = [], quantizer.weight_proj(z[n])  # (G·V,)
        for g in range(2):
            best = max(range(5), key=lambda v, g=g, n=n, own=logits[5 * g :]: own[v] + noise[n, g, v])
            assert output.codes[n, g] == best
            joined += quantizer.codevectors[0, 5 * g + best].tolist()
        torch.testing.assert_close(output.codevectors[n], torch.tensor(joined), atol=1e-6, rtol=0)


def test_averages_are_over_the_frames():
    quantizer = GumbelVectorQuantizer(SMALL)
    z = torch.randn(30, 8)
    output = quantizer(z, temperature=0.3)
    counts = torch.stack([torch.bincount(codes, minlength=5) for codes in output.codes.T])  # (G, V)
    torch.testing.assert_close(output.code_probs, counts / 30)
    soft = quantizer.weight_proj(z).view(30, 2, 5).softmax(2)  # neither noise nor τ
    torch.testing.assert_close(output.mean_probs, soft.mean(0))
    assert output.mean_probs.requires_grad
    assert not output.code_probs.requires_grad


def test_first_weights():
    quantizer = GumbelVectorQuantizer(BASE)
    assert quantizer.codevectors.shape == (1, 640, 128)
    assert 0 <= quantizer.codevectors.min() < 0.01
    assert 0.99 < quantizer.codevectors.max() <= 1
    assert abs(quantizer.weight_proj.weight.std() - 1) < 0.01
    assert quantizer.weight_proj.bias.abs().max() == 0


@pytest.mark.parametrize(
    ("probs", "wanted"),
    [
        (torch.full((3, 7), 1 / 7), 21.0),  # all alike: G·V
        (torch.eye(7)[:3], 3.0),  # one entry each: G
        (torch.tensor([[0.5, 0.5, 0.0, 0.0]]), 2.0),
        (torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]]), 2**1.5 + 1),  # 1.5 bits, and 0 bits
    ],
)
def test_perplexity_by_hand(probs, wanted):
    assert perplexity(probs).item() == pytest.approx(wanted, rel=1e-6)


def test_perplexity_lies_between_its_extremes():
    for sharpness in (0, 0.1, 1, 10, 1000):  # the last leaves exact zeros
        probs = (sharpness * torch.randn(4, 30)).softmax(1)
        assert 4 - 1e-4 <= perplexity(probs) <= 120 + 1e-3


def test_an_unused_entry_leaves_the_perplexity_finite():
    assert perplexity(torch.tensor([[0.5, 0.5, 0.0]])).item() == pytest.approx(2.0)


def test_an_unused_entry_leaves_the_gradient_finite():
    """Twenty masked frames of the same silence do this to a fresh BASE, whose logits spread by 22.6."""
    logits = torch.tensor([[[200.0, 0.0, -200.0]]], requires_grad=True)  # (N, G, V): float32 makes 1, 0, 0 of it
    perplexity(logits.softmax(2).mean(0)).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_straight_through_is_hard_forward_and_soft_backward(temperature):
    logits = (3 * torch.randn(200, 2, 9)).requires_grad_()  # (N, G, V)
    noise, gradient = gumbel_noise(logits), torch.randn(200, 2, 9)
    choice = gumbel_softmax(logits, noise, temperature)
    assert torch.equal(choice, one_hot((logits + noise).argmax(-1), logits))  # exactly ones and zeros
    soft = ((logits + noise) / temperature).softmax(-1)
    (straight,) = torch.autograd.grad(choice, logits, gradient)
    (wanted,) = torch.autograd.grad(soft, logits, gradient)
    torch.testing.assert_close(straight, wanted, atol=1e-6, rtol=1e-5)
    assert straight.abs().max() > 0


def test_the_jacobian_by_hand():
    logits = torch.tensor([1.0, 0.0, -1.0])
    jacobian = torch.autograd.functional.jacobian(lambda x: gumbel_softmax(x, torch.zeros(3), 0.5), logits)
    soft = torch.tensor([math.exp(2), 1.0, math.exp(-2)])
    soft = soft / soft.sum()
    torch.testing.assert_close(jacobian, (soft.diag() - soft[:, None] * soft) / 0.5)


def test_the_choice_does_not_depend_on_the_temperature():
    logits = torch.randn(1000, 6)
    noise = gumbel_noise(logits)
    choices = [gumbel_softmax(logits, noise, temperature) for temperature in (0.01, 0.5, 2.0, 100.0)]
    assert all(torch.equal(choice, choices[0]) for choice in choices)


def test_gumbel_noise_has_the_gumbel_distribution():
    noise = gumbel_noise(torch.empty(1_000_000))
    assert torch.isfinite(noise).all()
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.006)  # Euler's constant; four standard errors
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.02)
    for x in (-1.0, 0.0, 1.0, 3.0):
        assert (noise <= x).float().mean().item() == pytest.approx(math.exp(-math.exp(-x)), abs=0.002)


def test_gumbel_noise_follows_its_generator_in_single_precision():
    like = torch.empty(3, 4, dtype=torch.bfloat16)
    first, again = (gumbel_noise(like, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    assert first.shape == like.shape


def test_logits_plus_noise_are_largest_as_often_as_the_softmax_says():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    winners = (logits + gumbel_noise(torch.empty(400_000, 4))).argmax(1)
    share = torch.bincount(winners, minlength=4) / 400_000
    torch.testing.assert_close(share, logits.softmax(0), atol=0.004, rtol=0)  # about five standard errors


def test_one_hot_keeps_shape_and_type():
    like = torch.randn(2, 3, 5, dtype=torch.float64)
    codes = torch.randint(5, (2, 3))
    assert torch.equal(one_hot(codes, like), torch.nn.functional.one_hot(codes, 5).double())


def test_temperature_starts_falls_and_stops():
    schedule = {"start": 2.0, "decay": 0.999995, "minimum": 0.5}  # the paper's (Section 4.2)
    assert gumbel_temperature(0, **schedule) == 2.0
    assert gumbel_temperature(1, **schedule) == 2.0 * 0.999995
    assert gumbel_temperature(100_000, **schedule) == pytest.approx(2 * math.exp(-0.5), rel=1e-5)
    last = math.ceil(math.log(0.5 / 2) / math.log(0.999995))  # the update that reaches the minimum
    assert gumbel_temperature(last - 1, **schedule) > 0.5
    assert gumbel_temperature(last, **schedule) == gumbel_temperature(400_000, **schedule) == 0.5
