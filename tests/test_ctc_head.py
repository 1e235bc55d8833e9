"""The CTC head is transformers' with the same weights, and tells which frames are real."""

from dataclasses import replace

import pytest
import torch
import transformers

from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.reference import transformers_config


@pytest.fixture(scope="module", params=["base_style", "large_style"])
def model(request):
    torch.manual_seed(0)
    config = replace(request.getfixturevalue(request.param), vocab_size=7)
    return Wav2Vec2ForCTC(config).requires_grad_(False).eval()


X = torch.linspace(-1, 1, 8000).sin().view(2, 4000)  # (B, L)


def test_logits_are_transformers(model):
    theirs = transformers.Wav2Vec2ForCTC(transformers_config(model.config)).eval()
    theirs.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(model(X).logits, theirs(X).logits, atol=1e-5, rtol=0)
    assert theirs.config.final_dropout == model.config.final_dropout


def test_log_probs_are_distributions_over_the_vocabulary(model):
    log_probs = model(X).log_probs
    assert log_probs.shape == (2, model.config.frame_lengths(4000), 7)
    torch.testing.assert_close(log_probs.exp().sum(dim=-1), torch.ones(log_probs.shape[:2]))
    assert model.bfloat16()(X.bfloat16()).log_probs.dtype == torch.float32
    model.float()


def test_frame_lengths_leave_padding_out(model):
    mask = torch.ones(2, 4000, dtype=torch.long)
    mask[1, 2000:] = 0
    frames = model.config.frame_lengths
    assert model(X).frame_lengths.tolist() == [frames(4000)] * 2
    assert model(X, mask).frame_lengths.tolist() == [frames(4000), frames(2000)]


def test_masked_channels_are_zero_for_the_context_network(model):
    channels = torch.zeros(2, model.config.hidden_size, dtype=torch.bool)
    channels[0, 3:9] = True
    base = model.wav2vec2
    x = base.feature_projection(base.feature_extractor(X))[0]  # (B, T, D)
    x[0, :, 3:9] = 0
    wanted = model.lm_head(base.encoder(x).last_hidden_state)
    torch.testing.assert_close(model(X, mask_feature_indices=channels).logits, wanted)
    assert not torch.equal(wanted[0], model(X).logits[0])
