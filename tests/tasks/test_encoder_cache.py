"""A cached frame is the frame that the encoder makes; what may change is not cached."""

from dataclasses import replace

import pytest
import torch
from little_run import little_corpus

from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.by_name import train_and_dev
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.asr import SpeechRecognition
from w2v2_teach.tasks.encoder_cache import FrozenEncoderCache
from w2v2_teach.tasks.finetuning import CACHED_HOURS

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


def test_the_model_gives_the_same_with_cached_latents(model, batch):
    x, mask = batch
    plain, cache = model(x, mask), FrozenEncoderCache(model)
    for _ in range(2):
        output = model(x, mask, latents=cache(x))
        real = output.frame_mask
        assert torch.equal(real, plain.frame_mask)
        for name in ("latents", "extract_features", "last_hidden_state"):
            torch.testing.assert_close(getattr(output, name)[real], getattr(plain, name)[real], atol=1e-5, rtol=0)


def test_each_waveform_is_encoded_once_whatever_stands_beside_it(model, batch):
    x, _ = batch
    cache, seen = FrozenEncoderCache(model), []
    model.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    alone = cache(x[1:2, : LENGTHS[1]])
    beside = cache(x)
    assert torch.equal(beside[1:2, : alone.shape[1]], alone), "to the last bit"
    assert (beside[1, alone.shape[1] :] == 0).all()
    cache(x.flip(0))
    assert seen == [1, 1, 1]
    assert len(cache.frames) == 3


def test_a_group_norm_is_refused(base_style):
    with pytest.raises(ValueError, match="Only an encoder with layer norm"):
        FrozenEncoderCache(Wav2Vec2Model(base_style))


@pytest.mark.parametrize(
    ("changes", "hours", "caches"),
    [
        ({}, 0.1, True),
        ({"freeze_encoder": False}, 0.1, False),
        ({"freeze_encoder": False, "freeze_encoder_updates": 3}, 0.1, True),
        ({}, CACHED_HOURS + 1, False),
    ],
)
def test_only_what_stays_and_comes_again_is_cached(tmp_path, monkeypatch, changes, hours, caches):
    train, dev = train_and_dev(str(little_corpus(tmp_path).folder))
    monkeypatch.setattr(Corpus, "hours", hours)
    settings = replace(SpeechRecognition.recipes["tiny"], batch_size=2, **changes)
    task = SpeechRecognition.begin("scratch", settings, train, dev)
    assert (task.encoder_cache is not None) == caches
