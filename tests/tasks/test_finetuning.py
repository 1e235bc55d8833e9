"""Fine-tuning trains what it should and leaves the rest alone, update by update, and survives an interruption."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from little_run import CONFIG, little_corpus, same_weights, without_times

from w2v2_teach.ctc import ctc_loss
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.asr import SpeechRecognition
from w2v2_teach.tasks.crops import LabeledBatches
from w2v2_teach.tasks.finetuning import SCRATCH
from w2v2_teach.training.batches import UpdateBatches
from w2v2_teach.training.run_folder import read_metrics
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.trainer import Interrupted, Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = replace(
    SpeechRecognition.recipes["tiny"],
    updates=6,
    batch_size=4,
    warmup_updates=2,
    hold_updates=2,
    freeze_context_updates=2,
    mask_feature_length=4,
    workers=0,
    log_every=1,
    evaluate_every=6,
    save_every=1,
)


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A folder with a model that has a quantizer and everything."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("pretrained")
    Wav2Vec2ForPreTraining(replace(CONFIG, num_hidden_layers=3)).save_pretrained(folder)
    return folder


@pytest.fixture
def task(little, pretrained):
    def make(train=None, **changes) -> SpeechRecognition:
        return SpeechRecognition.begin(str(pretrained), replace(SETTINGS, **changes), train or little.train, little.dev)

    return make


def prepared(task: SpeechRecognition, update: int = 0):
    return task.prepare(task.dataset[update], update, torch.Generator().manual_seed(7))


# --- where it begins -------------------------------------------------------------------------------------------------


def test_a_model_begins_with_what_was_pre_trained_and_a_new_head(task, pretrained):
    model = task(dropout=0.3, layerdrop=0.2).model
    assert same_weights(model.wav2vec2, Wav2Vec2Model.from_pretrained(pretrained))
    assert model.lm_head.out_features == model.config.vocab_size == len("_|aeh"), "blank, space and three letters"
    assert model.config.hidden_dropout == model.config.final_dropout == 0.3
    assert model.config.layerdrop == 0.2
    assert model.wav2vec2.encoder.layers[0].dropout.p == 0.3


def test_the_head_follows_from_the_seed(task):
    one, again, other = (task(seed=seed).model.lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_from_scratch_every_weight_follows_from_the_seed(little):
    one, again, other = (
        SpeechRecognition.begin(SCRATCH, replace(SETTINGS, seed=seed), little.train, little.dev).model
        for seed in (0, 0, 1)
    )
    assert same_weights(one, again)
    assert not same_weights(one.wav2vec2, other.wav2vec2)


def test_letters_that_only_dev_has_are_in_the_vocabulary(little):
    dev = Corpus("dev", (replace(utterance, text="zoo") for utterance in little.dev))
    task = SpeechRecognition.begin(SCRATCH, SETTINGS, little.train, dev)
    assert set("|aehzo") <= set(task.vocabulary.tokens)


def test_fewer_utterances_than_a_batch_are_refused(task, little):
    with pytest.raises(SettingsError, match="few has 3 utterances; batch_size=4 asks for more"):
        task(Corpus("few", little.train[:3]))


def test_a_transcript_is_of_the_whole_utterance(task):
    with pytest.raises(SettingsError, match=r"crop_seconds is 0.2; it must be None"):
        task(crop_seconds=0.2)


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "batches"), [(4, 3), (5, 3), (11, 2), (12, 1)])
def test_every_utterance_is_heard_in_every_epoch_and_every_batch_is_full(little, batch_size, batches):
    dataset = LabeledBatches([little.train], replace(SETTINGS, batch_size=batch_size, updates=9), fill=True)
    for epoch in range(2):
        heard = [dataset[epoch * batches + i].ids for i in range(batches)]
        assert all(len(set(ids)) == batch_size for ids in heard)
        counts = Counter(name for ids in heard for name in ids)
        assert counts.keys() == {utterance.id for utterance in little.train}
        assert max(counts.values()) <= 2


def test_without_filling_an_incomplete_batch_is_left_out(little):
    dataset = UpdateBatches(little.train, replace(SETTINGS, batch_size=5, updates=9))
    assert sorted(dataset.indices(0) + dataset.indices(1)) != list(range(12))
    assert len(set(dataset.indices(0) + dataset.indices(1))) == 10


def test_a_crop_is_a_piece_of_the_utterance_drawn_anew(little):
    one_batch = Corpus("few", little.train[:4])
    dataset = LabeledBatches([one_batch], replace(SETTINGS, crop_seconds=0.1), fill=True)
    batch, later = dataset[0], dataset[1]
    assert batch.input_values.shape == (4, 1600)
    assert batch.attention_mask.all()
    assert torch.equal(batch.input_values, dataset[0].input_values)
    for name, row in zip(batch.ids, batch.input_values, strict=True):
        assert not torch.equal(row, later.input_values[later.ids.index(name)])


def test_several_corpora_share_a_batch_and_no_micro_batch_is_padded_to_the_other_ones(task, little):
    parts = Corpus("short", little.train[:4]), Corpus("long", little.train[8:])
    learner = task(joined(parts), shares=(1, 1), accumulate=2, freeze_encoder=False)
    for update in range(6):
        work = prepared(learner, update)
        short, long = (part.inputs["input_values"].shape for part in work.micro_batches)
        assert (short[0], long[0]) == (2, 2)
        for part, own in zip(work.micro_batches, parts, strict=True):
            assert all(u.id in [other.id for other in own] for u in part.utterances)
            assert part.inputs["input_values"].shape[1] == max(u.num_samples for u in part.utterances)


def test_utterances_that_are_too_long_are_left_out(task, little):
    parts = Corpus("short", little.train[:6]), Corpus("long", little.train[6:])
    learner = task(joined(parts), longest_seconds=0.34)
    assert [len(part) for part in learner.train_corpus.parts] == [6, 2]
    assert max(u.duration for u in learner.train_corpus) <= 0.34


def test_a_cache_serves_only_while_the_encoder_is_frozen(task):
    learner = task(freeze_encoder=False, freeze_encoder_updates=3)
    latents = [prepared(learner, update).micro_batches[0].inputs["latents"] for update in range(5)]
    assert [z is not None for z in latents] == [True, True, True, False, False]


# --- one update ------------------------------------------------------------------------------------------------------


def test_masks_stay_inside_the_utterance(task):
    part = prepared(task(mask_time_prob=1.0, mask_time_length=1, mask_feature_prob=0.4)).micro_batches[0].inputs
    frames = CONFIG.frame_lengths(part["attention_mask"].sum(dim=1))  # (B,)
    real = torch.arange(int(frames.max())) < frames[:, None]  # (B, T)
    assert torch.equal(part["mask_time_indices"], real), "every frame starts a span, and no padding does"
    channels = part["mask_feature_indices"].sum(dim=1)  # (B,)
    assert part["mask_feature_indices"].shape == (4, 16)
    assert ((channels >= 4) & (channels <= 8)).all(), "one or two spans of four channels"


def test_micro_batches_add_up_to_the_batch(task):
    def gradient(accumulate: int) -> torch.Tensor:
        learner = task(accumulate=accumulate, dropout=0.0, freeze_context_updates=0)
        work = prepared(learner)
        assert len(work.micro_batches) == accumulate
        sum(learner.losses(learner.model, part).loss for part in work.micro_batches).backward()
        return learner.model.lm_head.weight.grad / work.items

    torch.testing.assert_close(gradient(1), gradient(2), atol=1e-6, rtol=1e-4)


def test_a_process_takes_its_rows_and_counts_all(task, request):
    whole = prepared(task())
    request.getfixturevalue("one_of_two")
    share = prepared(task())
    assert share.items == whole.items
    ours, theirs = share.micro_batches[0], whole.micro_batches[0]
    assert ours.utterances == theirs.utterances[2:]
    for name, tensor in ours.inputs.items():
        assert torch.equal(tensor, theirs.inputs[name][2:, : tensor.shape[1]]), name


def test_the_loss_by_hand(task):
    learner = task()
    learner.model.eval()
    work = prepared(learner)
    (part,) = work.micro_batches
    loss, sums = learner.losses(learner.model, part)
    output = learner.model(**part.inputs)
    ids = torch.tensor([learner.vocabulary.encode("ah ee")] * 4)
    by_hand = ctc_loss(output.log_probs, ids, output.frame_lengths, torch.full((4,), 5)).sum()
    torch.testing.assert_close(loss, by_hand)
    assert work.items == 4 * len("ah ee")
    assert not sums["blank_share"].requires_grad


def test_padding_is_not_counted_as_blank(task):
    learner = task()
    learner.model.eval()
    work = prepared(learner)
    (part,) = work.micro_batches
    output = learner.model(**part.inputs)
    rows = zip(output.logits.argmax(dim=-1), output.frame_lengths.tolist(), strict=True)
    blanks = torch.cat([tokens[:frames] == 0 for tokens, frames in rows]).float().mean()
    assert len(set(output.frame_lengths.tolist())) > 1
    shares = learner.losses(learner.model, part).sums["blank_share"] / work.items
    assert shares.item() == pytest.approx(blanks.item())


# --- what is trained -------------------------------------------------------------------------------------------------


def test_layers_are_counted_from_the_top(task):
    learner = task()
    names = {parameter: name for name, parameter in learner.model.named_parameters()}
    layers = [[names[parameter] for parameter in layer] for layer in learner.layers()]
    assert layers[0] == ["lm_head.weight", "lm_head.bias"]
    assert all(name.startswith("wav2vec2.encoder.layers.2.") for name in layers[1])
    assert all(name.startswith("wav2vec2.encoder.layers.0.") for name in layers[3])
    assert "wav2vec2.feature_projection.projection.weight" in layers[4]
    assert len(layers) == 5


def test_every_weight_is_in_one_layer_the_encoders_only_if_it_is_trained(task):
    for freeze_encoder in (True, False):
        learner = task(freeze_encoder=freeze_encoder)
        counted = Counter(parameter for layer in learner.layers() for parameter in layer)
        assert set(counted.values()) == {1}
        encoder = set(learner.model.wav2vec2.feature_extractor.parameters())
        assert set(learner.model.parameters()) - counted.keys() == (encoder if freeze_encoder else set())


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"freeze_context_updates": 2}, [1, 1, 5, 5, 5, 5]),
        ({"freeze_context_updates": 0}, [5] * 6),
        ({"freeze_context_updates": 1, "unfreeze_every": 2}, [1, 2, 2, 3, 3, 4]),
        ({"freeze_context_updates": 0, "unfreeze_every": 1}, [2, 3, 4, 5, 5, 5]),
        ({"freeze_context_updates": 1, "freeze_encoder": False}, [1, 6, 6, 6, 6, 6]),
        ({"freeze_context_updates": 1, "freeze_encoder": False, "freeze_encoder_updates": 4}, [1, 5, 5, 5, 6, 6]),
    ],
)
def test_how_many_layers_are_trained(task, changes, counts):
    learner = task(**changes)
    assert [learner.trained_layers(update) for update in range(6)] == counts
    for update in range(6):
        work = prepared(learner, update)
        learner.model.zero_grad()
        learner.losses(learner.model, work.micro_batches[0]).loss.backward()
        moved = [any(p.grad is not None for p in layer) for layer in learner.layers()]
        assert moved == [True] * counts[update] + [False] * (len(moved) - counts[update])
        assert learner.schedules(update) == {"trained_layers": counts[update]}


def test_frozen_weights_stay_bit_for_bit_and_others_do_not(task, pretrained):
    learner = task()
    Trainer(learner, learner.settings).train()
    before = Wav2Vec2Model.from_pretrained(pretrained).state_dict()
    after = learner.model.wav2vec2.state_dict()
    encoder = {name for name in before if name.startswith("feature_extractor.")}
    assert encoder
    assert all(torch.equal(before[name], after[name]) for name in encoder)
    assert not torch.equal(
        before["feature_projection.projection.weight"], after["feature_projection.projection.weight"]
    )


def test_each_layer_learns_more_slowly_than_the_one_above(task):
    learner = task(rate_decay=0.5)
    assert [group["factor"] for group in learner.parameter_groups()] == [1, 0.5, 0.25, 0.125, 0.0625]
    trainer = Trainer(learner, learner.settings)
    rates = []
    for _ in trainer.records():
        rates.append([group["lr"] for group in trainer.optimizer.param_groups])
    head = [rate[0] for rate in rates]
    assert head == pytest.approx([1e-3, 2e-3, 2e-3, 2e-3, 2e-3, 1e-3])  # half-way up, peak, held, down
    assert all(rate == pytest.approx([rate[0] * 0.5**depth for depth in range(5)]) for rate in rates)


# --- a whole run -----------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_to_the_same_bits_across_the_thaw(task, tmp_path):
    """Interrupted while the context is frozen, it goes on where everything is trained."""
    learner = task()
    Trainer(learner, learner.settings, tmp_path / "whole").train()

    learner = task()
    trainer = Trainer(learner, learner.settings, tmp_path / "cut")
    trainer.start()
    records = trainer.records()
    assert next(records)["update"] == 1
    trainer._stop.asked = True
    with pytest.raises(Interrupted):
        list(records)
    resumed = task()
    trainer = Trainer(resumed, resumed.settings, tmp_path / "cut")
    trainer.start(resume=True)
    trainer.train()
    ours, theirs = (without_times(read_metrics(tmp_path / name / "metrics.jsonl")) for name in ("cut", "whole"))
    assert ours == theirs
    assert same_weights(*(Wav2Vec2ForCTC.from_pretrained(tmp_path / name / "model") for name in ("cut", "whole")))


def test_it_learns(task):
    changes = {"updates": 40, "warmup_updates": 4, "learning_rate": 5e-3, "freeze_context_updates": 0}
    learner = task(**changes, mask_time_prob=0.0, mask_feature_prob=0.0, dropout=0.0, evaluate_every=40)
    records = list(Trainer(learner, learner.settings).records())
    assert records[-1]["loss"] < 0.6 * records[0]["loss"]
    assert {"dev_wer", "dev_cer"} <= records[-1].keys()
    assert learner.model.training, "an evaluation leaves it as it was"


def test_a_checkpoint_has_model_and_vocabulary(task, tmp_path):
    learner = task()
    learner.export(tmp_path)
    assert same_weights(Wav2Vec2ForCTC.from_pretrained(tmp_path), learner.model)
    assert Vocabulary.load(tmp_path / "vocab.json").tokens == learner.vocabulary.tokens


def test_a_run_is_told_by_task_model_and_speech(task, little):
    identity = task().fingerprint()
    assert identity["objective"] == "SpeechRecognition"
    assert task(seed=1).fingerprint() == identity
    assert task(dropout=0.2).fingerprint() != identity
    assert task(Corpus("other", little.train[:8])).fingerprint() != identity


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"crop_seconds": 0.0}, "crop_seconds is 0.0; it must be 0.025 s or more."),
        ({"unfreeze_every": -1}, "unfreeze_every is -1; it must be 0 or more."),
        ({"rate_decay": 0.0}, r"rate_decay is 0.0; it must be in (0, 1]."),
        ({"dropout": 1.5}, r"dropout is 1.5; it must be in [0, 1]."),
        ({"mask_time_length": 0}, "mask_time_length is 0; it must be 1 or more."),
        ({"hold_updates": 5}, "hold_updates is 5; it must be at most the 4 updates after the warm-up."),
        ({"rate_floor": 1.0}, "rate_floor is 1.0; it must be in [0, 1)."),
    ],
)
def test_a_number_out_of_range_is_named(changes, complaint):
    with pytest.raises(SettingsError) as caught:
        replace(SETTINGS, **changes)
    assert str(caught.value) == complaint
