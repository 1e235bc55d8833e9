"""Two processes do what one does with the joined batch, however the masked frames are spread over them."""

from dataclasses import replace

import pytest
import torch
import two_processes
from little_run import CONFIG, WITH_DROPOUT, in_two_processes, little_corpus

from w2v2_teach.training import distributed

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus"))


def test_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.process_group() as device:
        assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
        assert (distributed.rank(), distributed.count()) == (0, 1)
        x = torch.tensor([[1.0, 5.0], [3.0, 7.0]])
        assert distributed.sum_over_processes(x) is x
        assert distributed.mean_over_processes(x.mean(dim=0), 2).tolist() == [2, 6]


@pytest.mark.slow
def test_the_mean_over_unequal_shares(tmp_path):
    for rank, (mean, gradient) in enumerate(in_two_processes(tmp_path, two_processes.mean)):
        assert mean.tolist() == [4, 3], "of four frames; the mean of two means would be (6, 4.7)"
        # d(1·mean + 2·mean)/dx = 3/4 for each of the four frames
        assert gradient.tolist() == [[0.75, 0.75]] * (3, 1)[rank]


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (CONFIG, {"feature_penalty": 5.0, "encoder_gradient": 0.5, "clip_grad_norm": 0.5}),
        # without diversity, whose averages are those of a micro-batch
        (replace(CONFIG, diversity_loss_weight=0.0), {"accumulate": 2}),
    ],
)
def test_two_processes_do_what_one_does(little, tmp_path, config, changes):
    changes = {**changes, "updates": 4, "log_every": 1, "evaluate_every": 4}
    both = in_two_processes(tmp_path, two_processes.train, little.folder, config, changes)
    alone = two_processes.train(little.folder, config, changes | {"accumulate": 1})
    assert any(ours != theirs for ours, theirs in zip(*(one["counts"] for one in both), strict=True)), (
        "else the mean of the processes' means would do"
    )
    assert sum(both[0]["counts"] + both[1]["counts"]) == sum(alone["counts"])
    assert [one["wrappers"] for one in both] == [0, 0], "the process group is destroyed next, and must be the last"
    for one in both:
        for name, x in alone["weights"].items():
            assert (one["weights"][name] - x).abs().max() <= 1e-5, name
    for ours, theirs, expected in zip(both[0]["records"], both[1]["records"], alone["records"], strict=True):
        assert ours == theirs, "both know the same numbers"
        names = expected.keys() - {"masked_share"}
        if "accumulate" in changes:  # the others are means over micro-batches
            names = {"loss", "contrastive_loss", "accuracy", "grad_norm", "hours_of_audio"}
        for name in names:
            assert ours[name] == pytest.approx(expected[name], rel=1e-5), name


def test_each_process_has_its_own_dropout_and_both_the_same_weights(little, tmp_path):
    config = replace(WITH_DROPOUT, num_hidden_layers=3, layerdrop=0.5)
    both = in_two_processes(tmp_path, two_processes.train, little.folder, config, {"updates": 6})
    assert not set(both[0]["seeds"]) & set(both[1]["seeds"])
    assert all(torch.equal(both[0]["weights"][name], both[1]["weights"][name]) for name in both[0]["weights"])


def test_a_signal_to_one_stops_both_after_the_same_update(little, tmp_path):
    said = in_two_processes(tmp_path, two_processes.stop_the_second, little.folder, CONFIG)
    assert said == ["stopped after update 2 of 6; the run has no folder, so nothing is saved."] * 2


def test_trouble_on_one_is_trouble_on_both(little, tmp_path):
    for said in in_two_processes(tmp_path, two_processes.poison_the_second, little.folder, CONFIG):
        assert said.startswith("update 1: the loss is nan.")
