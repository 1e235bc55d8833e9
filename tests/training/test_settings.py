"""Settings refuse what makes no sense, and the learning rate rises and falls as Section 4.2 says."""

from dataclasses import asdict, fields, replace

import pytest

from w2v2_teach.tasks.pretraining import RECIPES
from w2v2_teach.tasks.settings import PretrainingSettings
from w2v2_teach.training.schedules import learning_rate
from w2v2_teach.training.settings import SettingsError, TrainingSettings, option_name


def test_the_learning_rate_by_hand():
    settings = TrainingSettings(updates=10, warmup_updates=4, learning_rate=1e-3)
    rates = [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]  # thousandths
    assert [1e3 * learning_rate(settings, update) for update in range(10)] == pytest.approx(rates)
    assert learning_rate(settings, 10) == 0


def test_the_learning_rate_without_warm_up_and_with_nothing_else():
    settings = TrainingSettings(updates=4, warmup_updates=0, learning_rate=1.0)
    assert [learning_rate(settings, update) for update in range(4)] == [1, 0.75, 0.5, 0.25]
    settings = TrainingSettings(updates=4, warmup_updates=4, learning_rate=1.0)
    assert [learning_rate(settings, update) for update in range(4)] == [0.25, 0.5, 0.75, 1]


def test_three_stages_and_the_slanted_triangle_by_hand():
    tri_stage = TrainingSettings(updates=10, warmup_updates=2, hold_updates=4, learning_rate=1.0)
    shares = [1 / 2, 1, 1, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4]
    assert [learning_rate(tri_stage, update) for update in range(10)] == pytest.approx(shares)
    slanted = TrainingSettings(updates=20, warmup_updates=2, rate_floor=1 / 32, learning_rate=32.0)  # ULMFiT's ratio
    rates = [learning_rate(slanted, update) for update in range(21)]
    assert rates[:4] == pytest.approx([1 + 31 / 2, 32, 32, 1 + 31 * 17 / 18])
    assert rates[20] == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"updates": 0}, "updates is 0; it must be 1 or more."),
        ({"batch_size": 0}, "batch_size is 0; it must be 1 or more."),
        ({"accumulate": -1}, "accumulate is -1; it must be 1 or more."),
        ({"log_every": 0}, "log_every is 0; it must be 1 or more."),
        ({"evaluate_every": 0}, "evaluate_every is 0; it must be 1 or more."),
        ({"save_every": 0}, "save_every is 0; it must be 1 or more."),
        ({"warmup_updates": -1}, "warmup_updates is -1; it must be 0 or more."),
        ({"updates": 9, "warmup_updates": 10}, "warmup_updates is 10; it must be at most updates=9."),
        ({"weight_decay": -0.1}, "weight_decay is -0.1; it must be 0 or more."),
        ({"workers": -1}, "workers is -1; it must be 0 or more."),
        ({"snapshot_every": -1}, "snapshot_every is -1; it must be 0 or more."),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be more than 0."),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be a finite number."),
        ({"learning_rate": float("inf")}, "learning_rate is inf; it must be a finite number."),
        ({"seed": -1}, "seed is -1; it must be from 0 to 9223372036854775807."),
        ({"updates": 2**31}, "updates is 2147483648; it must be at most 2,147,483,647."),
        ({"clip_grad_norm": 0.0}, "clip_grad_norm is 0.0; it must be more than 0."),
        ({"crop_seconds": 0.0}, "crop_seconds is 0.0; it must be more than 0."),
        ({"temperature_start": 0.0}, "temperature_start is 0.0; it must be more than 0."),
        ({"temperature_min": -1.0}, "temperature_min is -1.0; it must be more than 0."),
        ({"temperature_decay": 1.1}, r"temperature_decay is 1.1; it must be in (0, 1]."),
        ({"temperature_decay": 0.0}, r"temperature_decay is 0.0; it must be in (0, 1]."),
        ({"encoder_gradient": -0.1}, "encoder_gradient is -0.1; it must be 0 or more."),
        ({"feature_penalty": -1.0}, "feature_penalty is -1.0; it must be 0 or more."),
    ],
)
def test_a_number_out_of_range_is_named(changes, complaint):
    with pytest.raises(SettingsError) as caught:
        PretrainingSettings(**changes)
    assert str(caught.value) == complaint


def test_a_resumed_run_keeps_what_changes_its_numbers():
    settings = PretrainingSettings()
    saved = asdict(settings)
    settings.require_same(saved)
    with pytest.raises(SettingsError) as caught:
        replace(settings, seed=1, clip_grad_norm=2.0).require_same(saved)
    assert str(caught.value) == (
        "a resumed run must keep its settings, but clip_grad_norm was None and is 2.0; seed was 0 and is 1."
    )
    del saved["bf16"]  # a run from before there was this setting
    with pytest.raises(SettingsError, match="bf16 was None and is False"):
        settings.require_same(saved)


def test_a_resumed_run_may_change_what_does_not():
    free = {"workers": 3, "evaluate_every": 7, "save_every": 8, "snapshot_every": 9}
    replace(PretrainingSettings(), **free).require_same(asdict(PretrainingSettings()))
    assert free.keys() == {f.name for f in fields(PretrainingSettings) if not f.metadata["changes_numbers"]}


def test_every_setting_has_an_option_and_says_what_it_is():
    names = {option_name(field) for field in fields(PretrainingSettings)}
    assert {"--learning-rate", "--batch-size", "--bf16", "--crop-seconds"} <= names
    assert all(field.metadata["help"] for field in fields(PretrainingSettings))


def test_base_and_large_are_the_papers():
    base, large = RECIPES["base"], RECIPES["large"]  # Section 4.2
    assert (base.updates, base.learning_rate, base.warmup_updates) == (400_000, 5e-4, 0.08 * 400_000)
    assert (base.temperature_start, base.temperature_decay, base.temperature_min) == (2, 0.999995, 0.5)
    assert (large.updates, large.learning_rate, large.temperature_min) == (250_000, 3e-4, 0.1)
    assert base.crop_seconds * 16_000 == pytest.approx(250_000, rel=0.01)
    assert large.crop_seconds * 16_000 == 320_000
    assert (base.encoder_gradient, base.feature_penalty) == (0.1, 10)
