"""Frames with their phones, and the probes on them."""

import numpy as np
import pytest
import torch
from little_run import CONFIG, little_corpus

from w2v2_teach.analysis import probes
from w2v2_teach.analysis.probes import Frames, cluster_phones, context_metrics, copy_scores, phone_frames, phone_probe
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.audio import normalize


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus")).train


def test_every_frame_is_that_of_its_utterance_and_phone(corpus):
    model = Wav2Vec2Model(CONFIG)
    frames = phone_frames(model, corpus, 10_000)
    T = [CONFIG.frame_lengths(utterance.num_samples) for utterance in corpus]
    assert len(frames.phones) == sum(T)
    assert set(frames.phones) == {"AA", "IY"}
    assert np.mean(frames.phones == "AA") == pytest.approx(1 / 3, abs=0.02), "as the corpus is made"
    one = phone_frames(model, corpus, 5)
    assert all(np.array_equal(few, many[:5]) for few, many in zip(one, frames, strict=True))
    alone = model(normalize(corpus[3].waveform())[None]).last_hidden_state[0].detach().numpy()  # (T, D)
    here = frames.contexts[frames.speakers == corpus[3].speaker]
    distance = np.abs(here[:, None] - alone[None]).max(axis=2).min(axis=0)  # (T,)
    assert distance.max() < 1e-4


def frames_that_say(share: float) -> Frames:
    """Contexts of which a share gives the phone away, in the same way for three speakers; the others are noise."""
    generator = np.random.default_rng(0)
    phones = generator.choice(["a", "b", "c", "d"], 600, p=[0.4, 0.2, 0.2, 0.2])
    told = np.where(generator.random(600) < share, phones, generator.choice(["a", "b", "c", "d"], 600))
    contexts = np.eye(4)[np.searchsorted(["a", "b", "c", "d"], told)] + generator.normal(0, 0.05, (600, 4))
    return Frames(contexts, phones, generator.choice(["x", "y", "z"], 600))


def test_what_is_in_the_contexts_is_found(corpus, monkeypatch):
    monkeypatch.setattr(probes, "CLUSTERS", 4)
    found = {}
    for share in (0.0, 0.6, 1.0):
        monkeypatch.setattr(probes, "phone_frames", lambda *_args, share=share: frames_that_say(share))
        found[share] = context_metrics(torch.nn.Identity(), corpus)
    assert found[1.0]["phone_accuracy"] > 0.99
    assert found[1.0]["cluster_pnmi"] > 0.99
    assert found[0.0]["phone_accuracy"] == pytest.approx(0.4, abs=0.06), "the commonest phone"
    assert found[0.0]["cluster_pnmi"] < 0.05
    assert 0.5 < found[0.6]["phone_accuracy"] < 0.85
    assert {metrics["majority"] for metrics in found.values()} == {np.mean(frames_that_say(0).phones == "a")}


def test_a_copy_is_scored_without_what_all_frames_share():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])  # (T, C)
    wanted = torch.tensor([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]])
    torch.testing.assert_close(copy_scores(z), wanted)
    torch.testing.assert_close(copy_scores(3 * z + torch.tensor([50.0, 7.0])), wanted, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def speakers():
    """Frames of two people who say ten phones, each phone a place in the plane: x to learn from, x to measure on."""
    generator = np.random.default_rng(0)
    places = generator.normal(size=(10, 2)) * 10
    phones = [generator.integers(10, size=n) for n in (600, 400)]
    return *(places[p] + generator.normal(size=(len(p), 2)) * 0.1 for p in phones), *(p.astype(str) for p in phones)


def test_a_probe_learned_from_some_tells_the_phones_of_others(speakers):
    learned, heard, phones, truth = speakers
    assert phone_probe(learned, phones, heard, truth) > 0.99
    nothing = np.random.default_rng(1).normal(size=(1_000, 2))
    assert phone_probe(nothing[:600], phones, nothing[600:], truth) < 0.2


def test_clusters_found_in_some_explain_the_phones_of_others(speakers):
    learned, heard, _, truth = speakers
    explained = cluster_phones(learned, heard, truth, clusters=30)
    assert explained.pnmi > 0.99
    assert 0.02 < explained.shuffled < 0.3, "30 codes for 400 frames explain something by chance"
    assert cluster_phones(learned, heard, truth, clusters=2).pnmi < 0.5
