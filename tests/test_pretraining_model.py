"""The contrastive task on the whole model against transformers: losses and all gradients, padded and not."""

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
import transformers
from torch import Tensor

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.losses import sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2ForPreTrainingOutput
from w2v2_teach.quantizer import gumbel_noise, perplexity
from w2v2_teach.reference import transformers_config

SAMPLES = (4000, 2600, 1800)  # lengths of a ragged batch
NOISE_SEED, TEMPERATURE = 7, 1.3
PRETRAINING = {
    "feat_proj_dropout": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "layerdrop": 0.0,
    "feat_quantizer_dropout": 0.0,
    "mask_time_length": 3,
    "num_codevectors_per_group": 6,  # so few that many a negative equals its target
    "codevector_dim": 16,
    "proj_codevector_dim": 12,
    "num_negatives": 10,
}


class Inputs(NamedTuple):
    """What one update draws, as our model takes it."""

    input_values: Tensor  # (B, L)
    attention_mask: Tensor | None  # (B, L)
    mask: Tensor  # (B, T)
    negatives: Tensor  # (N, K)
    all_noise: Tensor  # (B, T, G, V): transformers draws noise for masked frames and for all others


@pytest.fixture(scope="module", params=["base_style", "large_style"])
def config(request) -> Wav2Vec2Config:
    return replace(request.getfixturevalue(request.param), **PRETRAINING)


def draw(config: Wav2Vec2Config, ragged: bool) -> Inputs:
    samples = torch.tensor(SAMPLES if ragged else SAMPLES[:1] * 3)  # (B,)
    attention_mask = (torch.arange(SAMPLES[0]) < samples[:, None]).long()  # (B, L)
    mask = time_mask(config.frame_lengths(samples), config)  # (B, T)
    torch.manual_seed(NOISE_SEED)
    shape = config.num_codevector_groups, config.num_codevectors_per_group  # G, V
    return Inputs(
        input_values=torch.randn(attention_mask.shape) * attention_mask,
        attention_mask=attention_mask if ragged else None,
        mask=mask,
        negatives=sample_negatives(mask, config.num_negatives),
        all_noise=seeded_noise(mask.numel() * shape[0], shape[1]).view(*mask.shape, *shape),
    )


def seeded_noise(*shape: int) -> Tensor:
    torch.manual_seed(NOISE_SEED)
    return gumbel_noise(torch.empty(shape))


def run_ours(model: Wav2Vec2ForPreTraining, inputs: Inputs) -> Wav2Vec2ForPreTrainingOutput:
    noise = inputs.all_noise[inputs.mask]  # (N, G, V)
    return model(
        inputs.input_values, inputs.mask, inputs.negatives, inputs.attention_mask, temperature=TEMPERATURE, noise=noise
    )


def run_theirs(hf_model: transformers.Wav2Vec2ForPreTraining, inputs: Inputs):
    frames = inputs.mask.flatten().nonzero().flatten()  # (N,) places of the masked frames among all B·T
    full = torch.zeros(*inputs.mask.shape, inputs.negatives.shape[1], dtype=torch.long)  # (B, T, K)
    full[inputs.mask] = frames[inputs.negatives]
    hf_model.set_gumbel_temperature(TEMPERATURE)
    seeding = hf_model.quantizer.register_forward_pre_hook(lambda *_: seed_the_noise())
    output = hf_model(
        inputs.input_values,
        attention_mask=inputs.attention_mask,
        mask_time_indices=inputs.mask,
        sampled_negative_indices=full,
    )
    seeding.remove()
    return output


def seed_the_noise() -> None:
    torch.manual_seed(NOISE_SEED)


def pair(config: Wav2Vec2Config) -> tuple[Wav2Vec2ForPreTraining, transformers.Wav2Vec2ForPreTraining]:
    model = Wav2Vec2ForPreTraining(config)
    hf_model = transformers.Wav2Vec2ForPreTraining(transformers_config(config))
    hf_model.load_state_dict(model.state_dict(), strict=True)
    return model, hf_model


def worst_gradient(ours: torch.nn.Module, theirs: torch.nn.Module) -> float:
    """Largest difference of a parameter's gradients, relative to its length.

    A key's bias adds the same to all scores of a query: its gradient is zero but for rounding, here and there.
    """
    reference = {name: p.grad for name, p in theirs.named_parameters()}
    whole = torch.stack([grad.norm() for grad in reference.values()]).norm()
    assert {name for name, _ in ours.named_parameters()} == reference.keys()
    worst = 0.0
    for name, p in ours.named_parameters():
        if name.endswith("k_proj.bias"):
            assert max(p.grad.norm(), reference[name].norm()) < 1e-6 * whole
        elif reference[name].norm() == 0:
            assert p.grad.norm() == 0, name
        else:
            worst = max(worst, ((p.grad - reference[name]).norm() / reference[name].norm()).item())
    return worst


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_losses_and_gradients_equal_transformers_in_training(config, ragged, seed):
    torch.manual_seed(seed)
    model, hf_model = pair(config)
    model.train()
    hf_model.train()
    inputs = draw(config, ragged)
    ours, theirs = run_ours(model, inputs), run_theirs(hf_model, inputs)
    assert ours.logits.isinf().any()  # here codes are compared, there code vectors: both must find the same
    assert ours.contrastive_loss.item() == pytest.approx(theirs.contrastive_loss.item(), rel=1e-4)
    assert ours.num_masked * ours.diversity_loss.item() == pytest.approx(theirs.diversity_loss.item(), rel=1e-4)
    assert ours.loss.item() == pytest.approx(theirs.loss.item(), rel=1e-4)
    ours.loss.backward()
    theirs.loss.backward()
    assert worst_gradient(model, hf_model) <= 1e-4


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_contrastive_loss_and_gradients_equal_transformers_in_evaluation(config, ragged, seed):
    torch.manual_seed(seed)
    model, hf_model = pair(config)
    model.eval()
    hf_model.eval()
    inputs = draw(config, ragged)
    ours, theirs = run_ours(model, inputs), run_theirs(hf_model, inputs)
    assert ours.logits.isinf().any()
    assert ours.contrastive_loss.item() == pytest.approx(theirs.contrastive_loss.item(), rel=1e-4)
    # here their diversity loss counts choices, where ours goes on averaging distributions
    assert perplexity(ours.quantized.code_probs).item() == pytest.approx(theirs.codevector_perplexity.item(), rel=1e-4)
    ours.contrastive_loss.backward()
    theirs.contrastive_loss.backward()
    for parameter in (*model.parameters(), *hf_model.parameters()):
        if parameter.grad is None:  # choosing the largest logit has no gradient: weight_proj
            parameter.grad = torch.zeros_like(parameter)
    assert worst_gradient(model, hf_model) <= 1e-4


def test_the_comparison_notices_a_changed_weight(config):
    model, hf_model = pair(config)
    with torch.no_grad():
        hf_model.project_q.bias[0] += 0.05
    inputs = draw(config, ragged=False)
    ours, theirs = run_ours(model, inputs), run_theirs(hf_model, inputs)
    ours.loss.backward()
    theirs.loss.backward()
    assert worst_gradient(model, hf_model) > 1e-3


def test_names_and_shapes_of_the_weights_are_those_of_transformers(config):
    ours, theirs = pair(config)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


def test_the_total_is_contrastive_plus_alpha_n_diversity(config):
    inputs = draw(config, ragged=True)
    for alpha in (0.0, 0.1, 2.0):
        output = run_ours(Wav2Vec2ForPreTraining(replace(config, diversity_loss_weight=alpha)), inputs)
        N = int(inputs.mask.sum())
        assert output.num_masked == N
        total = output.contrastive_loss + alpha * N * output.diversity_loss
        assert output.loss.item() == pytest.approx(total.item(), rel=1e-6)


def test_only_masked_frames_and_only_real_ones_count(config):
    """What stands in the padding changes nothing (layer norm), and no frame outside the mask is a target."""
    model = Wav2Vec2ForPreTraining(replace(config, feat_extract_norm="layer", conv_bias=True)).eval()
    inputs = draw(config, ragged=True)
    noisy = inputs.input_values + 9 * torch.randn(inputs.input_values.shape) * (1 - inputs.attention_mask)
    clean, dirty = run_ours(model, inputs), run_ours(model, inputs._replace(input_values=noisy))
    torch.testing.assert_close(clean.logits, dirty.logits, atol=1e-4, rtol=0)
    assert len(clean.quantized.codes) == int(inputs.mask.sum())


def test_targets_are_not_detached(config):
    model = Wav2Vec2ForPreTraining(config)
    inputs = draw(config, ragged=False)
    run_ours(model, inputs).contrastive_loss.backward()
    for parameter in (
        model.quantizer.weight_proj.weight,
        model.quantizer.codevectors,
        model.project_q.weight,
        model.wav2vec2.feature_extractor.conv_layers[0].conv.weight,
    ):
        assert parameter.grad.abs().max() > 0


def test_accuracy_counts_targets_above_every_distractor(config):
    inf = math.inf
    logits = torch.tensor([[2.0, 1.0, -inf], [1.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, -inf, -inf]])  # a tie is no hit
    output = run_ours(Wav2Vec2ForPreTraining(config), draw(config, ragged=False))
    assert replace(output, logits=logits).num_correct == 2


def test_codes_are_those_that_evaluation_quantizes_with(config):
    model = Wav2Vec2ForPreTraining(config).eval()
    inputs = draw(config, ragged=False)
    codes = model.codes(inputs.input_values)  # (B, T, G)
    assert codes.shape == (*inputs.mask.shape, 2)
    assert torch.equal(codes[inputs.mask], run_ours(model, inputs).quantized.codes)


def test_bad_input_is_named(config):
    model = Wav2Vec2ForPreTraining(config)
    inputs = draw(config, ragged=False)
    with pytest.raises(ValueError, match="must be \\(B, L\\)"):
        run_ours(model, inputs._replace(input_values=torch.randn(4000)))
    with pytest.raises(ValueError, match="they must agree"):
        run_ours(model, inputs._replace(attention_mask=torch.ones(3, 7)))
