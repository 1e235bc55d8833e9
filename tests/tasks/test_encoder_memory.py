"""A remembered frame is the frame that the encoder makes; what may change is not remembered."""

from dataclasses import replace

import pytest
import torch

from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.tasks.encoder_memory import EncoderMemory, remember_frozen_encoder
from w2v2_teach.tasks.keywords import KeywordSpotting
from w2v2_teach.training.batches import KEPT_HOURS

LENGTHS = [4000, 2500, 3100]


@pytest.fixture
def model(base_style):
    torch.manual_seed(0)
    return Wav2Vec2Model(replace(base_style, feat_extract_norm="layer")).requires_grad_(False).eval()


@pytest.fixture
def batch():
    torch.manual_seed(1)
    x, mask = torch.randn(3, 4000), torch.arange(4000) < torch.tensor(LENGTHS)[:, None]
    return x * mask, mask.long()


def test_the_model_gives_the_same_with_it(model, batch):
    x, mask = batch
    plain = model(x, mask)
    EncoderMemory().attach(model)
    for _ in range(2):
        output = model(x, mask)
        real = output.frame_mask
        assert torch.equal(real, plain.frame_mask)
        for name in ("latents", "extract_features", "last_hidden_state"):
            torch.testing.assert_close(getattr(output, name)[real], getattr(plain, name)[real], atol=1e-5, rtol=0)


def test_each_waveform_is_encoded_once_whatever_stands_beside_it(model, batch):
    x, _ = batch
    memory = EncoderMemory()
    memory.attach(model)
    seen, encode = [], memory.encode
    memory.encode = lambda rows: seen.append(len(rows)) or encode(rows)
    alone = model.feature_extractor(x[1:2, : LENGTHS[1]])
    beside = model.feature_extractor(x)
    assert torch.equal(beside[1:2, : alone.shape[1]], alone), "to the last bit"
    assert (beside[1, alone.shape[1] :] == 0).all()
    model.feature_extractor(x.flip(0))
    assert seen == [1, 1, 1]
    assert len(memory.frames) == 3


def test_two_models_with_one_encoder_share_it(model, batch, base_style):
    other = Wav2Vec2Model(replace(base_style, feat_extract_norm="layer")).eval()
    other.load_state_dict(model.state_dict())
    memory = EncoderMemory()
    for one in (model, other):
        memory.attach(one)
        one.feature_extractor(batch[0])
    assert len(memory.frames) == 3
    memory.attach(other)  # twice is once
    torch.testing.assert_close(other.feature_extractor(batch[0]), model.feature_extractor(batch[0]))


def test_weights_keep_their_names(model):
    names = model.state_dict().keys()
    EncoderMemory().attach(model)
    assert model.state_dict().keys() == names


def test_a_group_norm_is_refused(base_style):
    with pytest.raises(ValueError, match="Only an encoder with layer norm"):
        EncoderMemory().attach(Wav2Vec2Model(base_style))


@pytest.mark.parametrize(
    ("changes", "norm", "hours", "remembers"),
    [
        ({}, "layer", 0.1, True),
        ({"freeze_encoder": False}, "layer", 0.1, False),
        ({"crop_seconds": 1.0}, "layer", 0.1, False),
        ({}, "group", 0.1, False),
        ({}, "layer", KEPT_HOURS + 1, False),
    ],
)
def test_it_remembers_only_what_stays_and_comes_again(base_style, changes, norm, hours, remembers):
    model = Wav2Vec2Model(replace(base_style, feat_extract_norm=norm))
    remember_frozen_encoder(model, replace(KeywordSpotting.recipes["tiny"], **changes), hours)
    assert isinstance(model.feature_extractor.forward, EncoderMemory) == remembers
