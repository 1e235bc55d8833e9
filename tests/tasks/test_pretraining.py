"""What one update of pre-training draws, computes and reports."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from little_run import CONFIG, little_corpus
from torch.utils.data import DataLoader

from w2v2_teach.checkpoints import CheckpointError
from w2v2_teach.quantizer import perplexity
from w2v2_teach.speech import by_name
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.crops import CropDataset, Crops
from w2v2_teach.tasks.pretraining import RECIPES
from w2v2_teach.tasks.settings import PretrainingSettings
from w2v2_teach.training.batches import KEPT_HOURS, rows_of_each
from w2v2_teach.training.distributed import own_share
from w2v2_teach.training.settings import SettingsError


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus"))


def crop_dataset(corpus: Corpus, settings: PretrainingSettings) -> CropDataset:
    """Crops of at least 6 frames: as many as a mask span of CONFIG has, and one more."""
    return CropDataset(corpus, CONFIG, settings, min_frames=6)


def same(one: Crops, other: Crops) -> bool:
    return one.ids == other.ids and torch.equal(one.input_values, other.input_values)


# --- crops -----------------------------------------------------------------------------------------------------------


def test_crops_follow_from_seed_and_update(little):
    first, second = (crop_dataset(little.train, little.settings()) for _ in range(2))
    assert len(first) == 6
    assert all(same(first[update], second[update]) for update in (0, 1, 5))
    assert same(first[0], second[0]), "in any order, and again"
    other_seed = crop_dataset(little.train, little.settings(seed=1))
    assert not same(first[0], other_seed[0])
    one_batch = crop_dataset(Corpus("few", little.train[:4]), little.settings())
    rows = [dict(zip(ids, x.tolist(), strict=True))["train-03"] for x, ids in map(one_batch.__getitem__, range(3))]
    assert rows[0] != rows[1] != rows[2], "the same utterance is cropped at a place drawn anew"


def test_a_crop_is_a_piece_of_its_utterance(little):
    dataset = crop_dataset(little.train, little.settings(crop_seconds=0.1))
    x, ids = dataset[3]
    assert x.shape == (4, 1_600)
    for row, key in zip(x, ids, strict=True):
        pieces = normalize(little.train[key].waveform()).unfold(0, 1_600, 1)  # (L - 1599, 1600)
        assert (pieces == row).all(dim=1).any()


@pytest.mark.parametrize("crop_seconds", [0.1, 0.28, 9.0])
def test_rows_are_as_long_as_the_shortest_or_the_crop(little, crop_seconds):
    dataset = crop_dataset(little.train, little.settings(crop_seconds=crop_seconds, updates=12))
    lengths = set()
    for update in range(12):
        x, ids = dataset[update]
        shortest = min(little.train[key].num_samples for key in ids)
        assert x.shape == (4, min(round(16_000 * crop_seconds), shortest))
        lengths.add(x.shape[1])
    assert len(lengths) > 1 or crop_seconds == 0.1


def test_every_utterance_comes_once_an_epoch(little):
    dataset = crop_dataset(little.train, little.settings(updates=9))
    epochs = [[dataset[update].ids for update in range(start, start + 3)] for start in (0, 3, 6)]
    for epoch in epochs:
        assert sorted(key for batch in epoch for key in batch) == [utterance.id for utterance in little.train]
    assert len({str(sorted(map(sorted, epoch))) for epoch in epochs}) > 1, "in other batches"
    incomplete = crop_dataset(little.train, little.settings(batch_size=5, updates=4))
    for start in (0, 2):  # 12 utterances fill two batches of 5
        heard = Counter(incomplete[start].ids + incomplete[start + 1].ids)
        assert set(heard.values()) == {1}
        assert len(heard) == 10


def test_what_is_shorter_than_a_span_is_left_out(little):
    # 6 frames, 440 samples, are the least: 5 for a mask span, and one more
    short = [replace(utterance, num_samples=439 + i) for i, utterance in enumerate(little.train[:5])]
    dataset = crop_dataset(Corpus("short", short), little.settings(crop_seconds=440 / 16_000))
    assert [utterance.num_samples for utterance in dataset.parts[0].utterances] == [440, 441, 442, 443]
    with pytest.raises(SettingsError, match=r"short \(0\.028 s or more\) has 3 utterances; batch_size=4 asks for more"):
        crop_dataset(Corpus("short", short[:4]), little.settings())


def test_a_crop_shorter_than_a_span_is_refused(little):
    with pytest.raises(SettingsError) as caught:
        crop_dataset(little.train, little.settings(crop_seconds=439 / 16_000))
    assert "it must be at least 0.028, which makes 6 frames" in str(caught.value)


def test_crops_do_not_depend_on_the_workers(little):
    def read(workers: int) -> list[Crops]:
        dataset = crop_dataset(little.train, little.settings())
        return list(DataLoader(dataset, batch_size=None, sampler=range(6), num_workers=workers))

    alone = read(0)
    assert all(same(Crops(*one), Crops(*other)) for one, other in zip(alone, read(2), strict=True))


def test_a_short_corpus_is_read_once(little, monkeypatch):
    reads = Counter()
    whole = type(little.train[0]).waveform
    monkeypatch.setattr(
        type(little.train[0]), "waveform", lambda utterance: (reads.update([utterance.id]), whole(utterance))[1]
    )
    dataset = crop_dataset(little.train, little.settings(updates=9))
    assert [dataset[update] for update in range(9)]
    assert set(reads.values()) == {1}
    assert len(reads) == 12
    assert KEPT_HOURS > 0.5, "the bundled corpus stays in memory"


def test_a_long_corpus_is_mapped_from_a_file(little, monkeypatch, tmp_path):
    kept = crop_dataset(little.train, little.settings())
    monkeypatch.setattr("w2v2_teach.training.batches.KEPT_HOURS", 0.0)
    monkeypatch.setattr("w2v2_teach.speech.waveforms.cache_folder", lambda: tmp_path)
    mapped = crop_dataset(little.train, little.settings())
    for update in range(6):
        x, ids = mapped[update]
        assert ids == kept[update].ids
        torch.testing.assert_close(x, kept[update].input_values, rtol=2**-11, atol=1e-7)  # half precision


def test_several_corpora_share_a_batch(little):
    parts = [Corpus("few", little.train[:4]), Corpus("many", little.train[4:])]
    dataset = crop_dataset(by_name.joined(parts), little.settings(shares=(1, 3), updates=8))
    heard = [dataset[update].ids for update in range(8)]
    assert all(sum(key in [u.id for u in parts[0]] for key in ids) == 1 for ids in heard)
    assert sorted(key for ids in heard[:4] for key in ids[:1]) == [u.id for u in parts[0]], "an epoch of its own"


def test_speed_changes_what_is_heard_and_not_how_long(little):
    plain = crop_dataset(little.train, little.settings(crop_seconds=0.1))
    varied = crop_dataset(little.train, little.settings(crop_seconds=0.1, speed=0.5))
    peaks = []  # Hz
    for update in range(6):
        x, ids = varied[update]
        assert x.shape == (4, 1_600)
        assert ids == plain[update].ids
        peaks += (torch.fft.rfft(x).abs().argmax(dim=1) * 10).tolist()
    assert max(peaks) > 1_300, "the corpus has 300 and 1200 Hz"
    assert any(abs(hz - 1_200) > 100 and abs(hz - 300) > 60 for hz in peaks)
    whole = crop_dataset(little.train, little.settings(crop_seconds=9.0, speed=0.5))
    x, ids = whole[0]
    assert x.shape[1] == int(min(little.train[key].num_samples for key in ids) / 1.5)


@pytest.mark.parametrize(
    ("shares", "rows"), [((), [8, 8]), ((1, 3), [4, 12]), ((0.5, 0.5), [8, 8]), ((1, 2), [5, 11]), ((2, 1), [11, 5])]
)
def test_rows_of_a_batch_follow_the_shares(little, shares, rows):
    assert rows_of_each(2, little.settings(batch_size=16, shares=shares)) == rows


@pytest.mark.parametrize("shares", [(1,), (1, 2, 3), (1, 100)])
def test_shares_that_fit_no_batch_are_refused(little, shares):
    with pytest.raises(SettingsError, match="shares="):
        rows_of_each(2, little.settings(shares=shares))


def test_a_training_goes_on_from_a_checkpoint(little, tmp_path):
    first, second = little.task(), little.task(seed=1)
    first.export(tmp_path)
    second.start_from(str(tmp_path))
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(CheckpointError, match="built otherwise"):
        little.task(replace(CONFIG, hidden_size=32)).start_from(str(tmp_path))


@pytest.mark.usefixtures("one_of_two")
def test_two_processes_share_the_rows():
    assert list(range(8))[own_share(8)] == [4, 5, 6, 7]


def test_a_share_is_the_second_half_of_the_batch(little, request):
    whole = crop_dataset(little.train, little.settings())
    request.getfixturevalue("one_of_two")
    share = crop_dataset(little.train, little.settings())
    for update in range(4):
        x, ids = whole[update]
        assert same(share[update], Crops(x[2:], ids[2:]))


# --- one update ------------------------------------------------------------------------------------------------------


def prepare(task, update: int = 0):
    generator = torch.Generator().manual_seed(7)
    return task.prepare(task.dataset[update], update, generator)


def joined(work) -> dict:
    """The micro-batches as one, with each distractor's position among all masked frames."""
    sizes = [len(part["negatives"]) for part in work.micro_batches]
    firsts = np.cumsum([0, *sizes[:-1]])
    return {
        "input_values": torch.cat([part["input_values"] for part in work.micro_batches]),
        "mask_time_indices": torch.cat([part["mask_time_indices"] for part in work.micro_batches]),
        "negatives": torch.cat([p["negatives"] + int(n) for p, n in zip(work.micro_batches, firsts, strict=True)]),
        "noise": torch.cat([part["noise"] for part in work.micro_batches]),
    }


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_distractors_stay_inside_the_utterance(little, accumulate):
    task = little.task(accumulate=accumulate)
    work = prepare(task)
    assert len(work.micro_batches) == accumulate
    counts = []
    for part in work.micro_batches:
        mask, negatives = part["mask_time_indices"], part["negatives"]  # (B, T), (N, K)
        assert mask.shape[0] == len(part["input_values"]) == 4 // accumulate
        row = torch.arange(len(mask))[:, None].expand_as(mask)[mask]  # (N,), the utterance of each masked frame
        assert (row[negatives] == row[:, None]).all()
        assert (negatives != torch.arange(len(row))[:, None]).all(), "never the frame itself"
        assert part["noise"].shape == (len(row), 2, 8)
        counts += mask.sum(dim=1).tolist()
    assert sum(counts) == work.items
    assert len(set(counts)) > 1, "else a wrong division could not show"
    assert work.hours * 3600 == pytest.approx(4 * 0.2)


def test_micro_batches_are_the_batch_cut_up(little):
    whole = prepare(little.task()).micro_batches[0]
    for accumulate in (2, 4):
        parts = joined(prepare(little.task(accumulate=accumulate)))
        assert all(torch.equal(parts[name], whole[name]) for name in parts)


def test_a_process_draws_what_one_alone_would(little, request):
    whole = prepare(little.task())
    request.getfixturevalue("one_of_two")
    share = prepare(little.task(accumulate=2))
    assert share.items == whole.items, "N is that of the whole update"
    assert share.hours == whole.hours
    rows, frames = whole.micro_batches[0]["mask_time_indices"], joined(share)
    first = int(rows[:2].sum())
    assert torch.equal(frames["mask_time_indices"], rows[2:])
    assert torch.equal(frames["negatives"], whole.micro_batches[0]["negatives"][first:] - first)
    assert torch.equal(frames["noise"], whole.micro_batches[0]["noise"][first:])


def test_the_loss_by_hand(little):
    task = little.task(replace(CONFIG, diversity_loss_weight=0.3), feature_penalty=2.0)
    (part,) = prepare(task).micro_batches
    loss, sums = task.losses(task.model, part)
    output = task.model(**part)
    N = int(part["mask_time_indices"].sum())
    z = task.model.wav2vec2.feature_extractor(part["input_values"])  # (B, T, C)
    by_hand = output.contrastive_loss + 0.3 * N * output.diversity_loss + 2.0 * N * (z**2).mean()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert sums["contrastive_loss"] == output.contrastive_loss
    assert sums["accuracy"] == (output.logits[:, 0] > output.logits[:, 1:].max(dim=1).values).sum()
    assert sums["diversity_loss"].item() / N == pytest.approx(output.diversity_loss.item())
    assert sums["feature_penalty"].item() / N == pytest.approx((z**2).mean().item(), rel=1e-5)
    assert sums["code_perplexity"].item() / N == pytest.approx(perplexity(output.quantized.code_probs).item())
    assert sums["prob_perplexity"].item() / N == pytest.approx(perplexity(output.quantized.mean_probs).item())
    assert sums["masked_share"].item() / N == pytest.approx(part["mask_time_indices"].float().mean().item())
    assert not any(value.requires_grad for value in sums.values())


def test_the_feature_penalty_makes_the_latents_smaller(little):
    def energy(weight: float) -> float:
        task = little.task(feature_penalty=weight)
        (part,) = prepare(task).micro_batches
        optimizer = torch.optim.SGD(task.model.parameters(), lr=1e-4)
        for _ in range(5):
            task.losses(task.model, part).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return task.model.wav2vec2.feature_extractor(part["input_values"]).square().mean().item()

    assert energy(10.0) < energy(0.0)


@pytest.mark.parametrize("factor", [0.0, 0.1, 1.0])
def test_the_encoders_gradient_is_scaled_and_no_other(little, factor):
    task = little.task(encoder_gradient=factor)
    task.losses(task.model, prepare(task).micro_batches[0]).loss.backward()
    before = {name: parameter.grad.clone() for name, parameter in task.model.named_parameters()}
    task.adjust_gradients()
    scaled = 0
    for name, parameter in task.model.named_parameters():
        encoder = name.startswith("wav2vec2.feature_extractor.")
        assert torch.equal(parameter.grad, before[name] * factor if encoder else before[name]), name
        scaled += encoder
    assert scaled == len(list(task.model.wav2vec2.feature_extractor.parameters())) > 3


def test_the_temperature_by_hand(little):
    task = little.task(temperature_start=2.0, temperature_decay=0.5, temperature_min=0.3)
    assert [task.temperature(update) for update in range(5)] == [2, 1, 0.5, 0.3, 0.3]
    assert task.schedules(1) == {"temperature": 1.0}
    assert [prepare(task, update).micro_batches[0]["temperature"].item() for update in (0, 2)] == [2, 0.5]
    base = RECIPES["base"]
    halfway = base.temperature_start * base.temperature_decay**200_000
    assert halfway == pytest.approx(2 / np.e, rel=1e-4)


def test_evaluation_measures_dev_and_leaves_the_model_in_training(little):
    task = little.task()
    metrics = task.evaluate()
    assert metrics.keys() == {
        *("contrastive_loss", "chance_loss", "accuracy", "chance_accuracy", "masked_frames"),
        *("usage_perplexity", "pnmi", "pnmi_shuffled", "code_tuples"),
    }
    assert task.model.training
    assert task.evaluate() == metrics
    untimed = Corpus("untimed", [replace(utterance, phones=()) for utterance in little.dev])
    task.dev = untimed
    no_pnmi = metrics.keys() - {"usage_perplexity", "pnmi", "pnmi_shuffled", "code_tuples"}
    assert task.evaluate().keys() == no_pnmi, "no phones"


def test_a_run_is_told_by_model_and_speech(little):
    identity = little.task().fingerprint()
    assert little.task(seed=1, workers=3).fingerprint() == identity
    assert little.task(replace(CONFIG, num_negatives=6)).fingerprint() != identity
    task = little.task()
    task.train_corpus = Corpus(little.train.name, little.train[:11])
    assert task.fingerprint() != identity


def test_a_model_follows_from_the_seed(little):
    one, same, other = (little.task(seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["project_q.weight"], other["project_q.weight"])
