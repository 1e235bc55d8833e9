"""The exercises' solutions are what the package computes: an exercise asks for its rule, not for one of its own."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from w2v2_teach import ctc, heads
from w2v2_teach import losses as package_losses
from w2v2_teach import quantizer as package_quantizer
from w2v2_teach.analysis import attention as package_attention
from w2v2_teach.analysis import codebooks, information, verification
from w2v2_teach.config import BASE, TINY
from w2v2_teach.context_network import ConvPositionalEmbedding, SelfAttention, TransformerLayer
from w2v2_teach.course.exercises import (
    codebook,
    context_network,
    finetuning,
    inside_attention,
    losses,
    masking,
    quantizer,
    speakers,
)
from w2v2_teach.course.exercises import ctc as paths
from w2v2_teach.masking import span_mask
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.tasks.finetuning import Finetuning
from w2v2_teach.tasks.settings import FinetuningSettings


def test_codebook_statistics():
    counts = torch.randint(0, 9, (5, 12)).float()
    counts[:, 3] = 0
    table = codebooks.conditional(counts.numpy().astype(int)).p
    np.testing.assert_allclose(codebook.conditional(counts), np.nan_to_num(table), atol=1e-6)
    assert abs(codebook.pnmi(counts) - information.phone_normalized_mutual_information(counts.numpy())) < 1e-5
    codes = torch.randint(3, (40,))
    np.testing.assert_array_equal(codebook.dwell_times(codes), codebooks.dwell_times([codes.numpy()]))


def test_shrunk_shares_lie_between_the_average_and_what_was_counted():
    counts = torch.tensor([[3.0, 0.0, 300.0], [0.0, 0.0, 0.0], [100.0, 0.0, 400.0]])
    average = counts.sum(1) / counts.sum()
    torch.testing.assert_close(codebook.shrunk(counts, 10.0)[:, 1], average)  # nothing was counted: the average remains
    torch.testing.assert_close(
        codebook.shrunk(counts, 1e-6)[:, 0], codebook.conditional(counts)[:, 0], atol=1e-5, rtol=0
    )


def test_attention_and_its_layer():
    layer = TransformerLayer(BASE)
    assert context_network.layer_parameters(768, 3072) == sum(p.numel() for p in layer.parameters())
    one_head = SelfAttention(TINY).requires_grad_(False).eval()
    one_head.num_heads = 1
    x = torch.randn(1, 9, 160)
    q, k, v = (project(x[0]) for project in (one_head.q_proj, one_head.k_proj, one_head.v_proj))
    mask = torch.arange(9) < 7
    attended = context_network.attention(q, k, v, mask)
    torch.testing.assert_close(one_head.out_proj(attended), one_head(x, mask[None])[0][0])


def test_the_reach_is_that_of_the_positional_convolution():
    embed = ConvPositionalEmbedding(TINY).requires_grad_(False)
    impulse = torch.zeros(1, 100, 160)
    impulse[0, 50] = 1
    touched = embed(impulse)[0].abs().sum(1).nonzero().flatten()  # the frames that see frame 50
    back, ahead = context_network.positional_reach(TINY.num_conv_pos_embeddings, 1)
    assert (touched[0], touched[-1]) == (50 - ahead, 50 + back)


@pytest.mark.parametrize("target", [[1], [2, 1], [1, 1], [2, 1, 1]], ids=str)
def test_paths_are_counted_as_they_are(target):
    every_path = itertools.product(range(3), repeat=6)
    assert paths.check_count_paths.solution(target, 6) == sum(ctc.collapse(path) == target for path in every_path)


@pytest.mark.parametrize("frozen", [0, 1, 7])
@pytest.mark.parametrize("every", [0, 1, 5])
def test_layers_train_when_fine_tuning_says_so(frozen, every):
    settings = FinetuningSettings(freeze_context_updates=frozen, unfreeze_every=every)
    task = SimpleNamespace(settings=settings, layers=lambda: [[]] * 6)
    for update in range(60):
        assert Finetuning.trained_layers(task, update) == finetuning.trained_layers(update, frozen, every, 6)


def test_attention_maps():
    maps = torch.randn(3, 4, 9, 9).mul(2).softmax(dim=-1)  # (layers, H, T, T)
    assert np.abs(inside_attention.rollout(maps).numpy() - package_attention.rollout(maps)[-1]).max() < 1e-6
    labels = ["s", "v", "v", "s", "v", "v", "v", "s", "v"]
    asking, asked = (torch.tensor([label == name for label in labels]) for name in "sv")
    table = package_attention.attention_by_class([maps[1, 2]], [labels])
    assert abs(inside_attention.class_ratio(maps[1, 2], asking, asked).item() - table.ratio[0, 1]) < 1e-6


def test_cosine_logits():
    c, q, codes = torch.randn(9, 5), torch.randn(9, 5), torch.arange(9)[:, None]
    negatives = losses.draw_negatives(9, 4)
    logits = package_losses.contrastive_logits(c, q, codes, negatives, kappa=0.1)
    columns = torch.cat([torch.arange(9)[:, None], negatives], dim=1)
    torch.testing.assert_close(losses.cosine_logits(c, q, 0.1).gather(1, columns), logits, atol=1e-5, rtol=0)


def test_masks():
    mask = span_mask(torch.full((2000,), 749), masking.start_probability(0.49, 10), 10)
    assert mask.float().mean().item() == pytest.approx(0.49, abs=0.005)
    model = Wav2Vec2Model(TINY).requires_grad_(False).eval()
    waveform, mask = torch.randn(1, 16_000), span_mask(torch.tensor([49]), 0.1, 5)
    x = model.feature_projection(model.feature_extractor(waveform))[0]  # (B, T, D)
    c = model.encoder(masking.hide(x, mask, model.masked_spec_embed)).last_hidden_state
    torch.testing.assert_close(c, model(waveform, mask_time_indices=mask).last_hidden_state)


def test_the_quantizer():
    model = package_quantizer.GumbelVectorQuantizer(TINY)
    z = torch.randn(50, 128)  # (N, C)
    logits, noise = model.logits(z), package_quantizer.gumbel_noise(torch.empty(50, 2, 64))  # (N, G, V)
    output = model(z, 0.5, noise)
    books = model.codevectors.view(2, 64, 64)  # (G, V, d/G)
    torch.testing.assert_close(quantizer.look_up(output.codes, books), output.codevectors, atol=1e-6, rtol=0)
    perplexity = torch.special.entr(output.mean_probs).sum(-1).exp().sum()
    torch.testing.assert_close(quantizer.prob_perplexity(logits), perplexity)
    for g in range(2):
        mine = quantizer.straight_through(quantizer.gumbel_softmax(logits[:, g], noise[:, g], 0.5))
        torch.testing.assert_close(mine, package_quantizer.gumbel_softmax(logits[:, g], noise[:, g], 0.5))


def test_straight_through_is_checked_where_gradients_are_off():
    with torch.no_grad():
        assert quantizer.check_straight_through(quantizer.straight_through).state == "passed"


def test_expected_entries_is_what_chance_gives():
    used = torch.stack([torch.randint(20, (30,)).unique().numel() * torch.ones(()) for _ in range(3000)])
    assert abs(used.mean() - quantizer.expected_entries(20, 30)) < 0.15


def test_speakers():
    x, w, labels = torch.randn(9, 5), torch.randn(4, 5), torch.randint(4, (9,))
    cosine = F.normalize(x) @ F.normalize(w).T
    ours = package_losses.arcface_logits(x, w, labels, 0.1, 10.0)
    safe = cosine.gather(1, labels[:, None])[:, 0] > -0.9
    torch.testing.assert_close(speakers.margin_logits(cosine, labels, 0.1, 10.0)[safe], ours[safe], atol=1e-4, rtol=0)
    frames, mask = torch.randn(3, 8, 4), torch.arange(8) < torch.tensor([8, 5, 3])[:, None]
    pooled = heads.statistics_pooling(frames, mask)
    torch.testing.assert_close(speakers.statistics(frames, mask), pooled, atol=1e-4, rtol=0)
    scores, is_same = torch.randn(40), torch.rand(40) < 0.4
    trials = verification.Trials(scores.numpy(), is_same.numpy())
    errors = verification.error_rates_at(trials, 0.2)
    np.testing.assert_allclose(speakers.errors_at(scores, is_same, 0.2), errors, atol=1e-6)
