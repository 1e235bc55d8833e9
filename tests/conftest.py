"""What every test shares: a seed, and configurations small enough to build by the dozen."""

import pytest
import torch

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.training import distributed

# A model of BASE's style and one of LARGE's, small enough for a test.
SMALL = {
    "conv_dim": (16, 24, 32),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 4, 4),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}


@pytest.fixture(scope="session")
def base_style() -> Wav2Vec2Config:
    return Wav2Vec2Config(**SMALL)


@pytest.fixture(scope="session")
def large_style() -> Wav2Vec2Config:
    return Wav2Vec2Config(**SMALL, conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def one_thread():
    """For a module's small trainings: a second thread would wait more than it works, and add up in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def one_of_two(monkeypatch):
    """This process is the second of two."""
    monkeypatch.setattr(distributed, "count", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
