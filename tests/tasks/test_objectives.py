"""What an update of the predictive tasks draws, computes and reports; that they train, resume and are told apart."""

from dataclasses import replace

import pytest
import torch
from command_line import invoke
from little_run import CONFIG, little_corpus, same_weights, without_times

from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import normalize
from w2v2_teach.tasks.objectives import OBJECTIVES, JointNextToken, NextStep, NextToken, PretrainingVariant
from w2v2_teach.training.run_folder import read_metrics
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.trainer import Trainer

CAUSAL = replace(CONFIG, causal=True, prediction_steps=(1, 3))
TEACHER = replace(CONFIG, num_codevectors_per_group=4)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus"))


def teacher() -> Wav2Vec2ForPreTraining:
    torch.manual_seed(3)
    return Wav2Vec2ForPreTraining(TEACHER)


def make(kind, little, config=CAUSAL, **changes):
    own = (teacher(),) if kind is NextToken else ()
    return kind(config, little.settings(**changes), little.train, little.dev, *own)


def prepare(task, update: int = 0):
    return task.prepare(task.dataset[update], update, torch.Generator().manual_seed(7))


def total(task, work) -> dict[str, float]:
    """Loss and sums over the micro-batches of an update, divided by its items."""
    task.model.eval()  # without dropout: micro-batches would draw it differently
    parts = [task.losses(task.model, micro_batch) for micro_batch in work.micro_batches]
    sums = {name: sum(float(part.sums[name]) for part in parts) for name in parts[0].sums}
    return {name: value / work.items for name, value in {**sums, "loss": sum(p.loss.item() for p in parts)}.items()}


PREDICTIVE = [NextStep, NextToken, JointNextToken]


@pytest.mark.parametrize("kind", PREDICTIVE)
@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_are_the_batch_cut_up(little, kind, accumulate):
    config = replace(CAUSAL, diversity_loss_weight=0.0)  # diversity is of a whole batch, and so differs
    whole, cut = make(kind, little, config), make(kind, little, config, accumulate=accumulate)
    one, several = prepare(whole), prepare(cut)
    assert (len(one.micro_batches), len(several.micro_batches)) == (1, accumulate)
    assert (one.items, one.hours) == (several.items, several.hours)
    one, several = total(whole, one), total(cut, several)
    for name in set(one) - {"code_perplexity", "diversity_loss"}:
        assert several[name] == pytest.approx(one[name], rel=1e-4), name


@pytest.mark.parametrize("kind", PREDICTIVE)
def test_a_process_draws_what_one_alone_would(little, kind, request):
    whole = prepare(make(kind, little))
    request.getfixturevalue("one_of_two")
    task = make(kind, little)
    share = prepare(task)
    assert (share.items, share.hours) == (whole.items, whole.hours)
    (half,), (both,) = share.micro_batches, whole.micro_batches
    assert torch.equal(half["input_values"], both["input_values"][2:])
    for name in half.keys() & {"codes", "noise"}:
        assert torch.equal(half[name], both[name][len(both[name]) // 2 :])
    if kind is NextStep:
        first = len(both["negatives"]) // 2
        assert torch.equal(half["negatives"], both["negatives"][first:] - first)


def test_the_next_steps_items_are_its_predictions(little):
    task = make(NextStep, little)
    work = prepare(task)
    output = task.model(**work.micro_batches[0])
    assert output.num_predictions == work.items
    T = CAUSAL.frame_lengths(work.micro_batches[0]["input_values"].shape[1])
    rows = torch.arange(4).repeat_interleave(T)  # the utterance of each frame
    negatives = work.micro_batches[0]["negatives"]
    assert (rows[negatives] == rows[:, None]).all()
    assert (negatives != torch.arange(4 * T)[:, None]).all()


def test_no_crop_is_too_short_for_the_furthest_step(little):
    # 8 frames and one more: 40 + 8 · 80 samples
    short = [replace(u, num_samples=679 + i) for i, u in enumerate(little.train[:5])]
    task = NextStep(
        replace(CAUSAL, prediction_steps=(2, 8)), little.settings(), type(little.train)("s", short), little.dev
    )
    assert [u.num_samples for u in task.dataset.parts[0].utterances] == [680, 681, 682, 683]


def test_the_tokens_are_the_teachers(little):
    task = make(NextToken, little)
    assert (task.model.config.num_codevectors_per_group, task.config.num_codevectors_per_group) == (4, 4)
    (part,) = prepare(task).micro_batches
    z = task.teacher.wav2vec2.feature_extractor(part["input_values"])
    wanted = task.teacher.quantizer.eval()(task.teacher.wav2vec2.feature_projection(z)[1].flatten(0, 1)).codes
    assert torch.equal(part["codes"].flatten(0, 1), wanted)
    before = {name: value.clone() for name, value in task.teacher.state_dict().items()}
    list(Trainer(task, task.settings).records())
    assert all(torch.equal(value, before[name]) for name, value in task.teacher.state_dict().items())


def test_a_teacher_with_other_frames_is_refused(little):
    other = Wav2Vec2ForPreTraining(replace(TEACHER, conv_stride=(5, 4, 2)))
    with pytest.raises(SettingsError, match="other kernels or strides"):
        NextToken(CAUSAL, little.settings(), little.train, little.dev, other)


def test_the_teacher_of_the_course_is_the_default(little):
    with pytest.raises(SettingsError, match="other kernels or strides"):  # it is TINY, with seven convolutions
        NextToken(CAUSAL, little.settings(), little.train, little.dev)


@pytest.mark.parametrize("kind", PREDICTIVE)
def test_the_feature_penalty_is_added_once_a_question(little, kind):
    with_penalty, without = make(kind, little, feature_penalty=2.0), make(kind, little)
    assert same_weights(with_penalty.model, without.model)
    one, other = (total(task, prepare(task)) for task in (with_penalty, without))
    assert one["loss"] - other["loss"] == pytest.approx(2.0 * other["feature_penalty"], rel=1e-3)
    assert other["feature_penalty"] > 0.01


def test_evaluation_says_what_each_objective_is_about(little):
    assert make(NextStep, little).evaluate().keys() == {"contrastive_loss", "accuracy", "accuracy_1", "accuracy_3"}
    assert make(NextToken, little).evaluate().keys() == {"token_loss", "accuracy", "repeat_accuracy"}
    joint = make(JointNextToken, little)
    assert {"token_loss", "accuracy", "repeat_accuracy", "pnmi", "usage_perplexity"} <= joint.evaluate().keys()
    assert joint.model.training
    continuous = make(PretrainingVariant, little, replace(CONFIG, quantize_targets=False))
    metrics = {"contrastive_loss", "accuracy", "chance_loss", "chance_accuracy", "masked_frames"}
    assert continuous.evaluate().keys() == metrics
    assert "pnmi" in make(PretrainingVariant, little, CONFIG).evaluate()


def test_the_dev_figures_by_hand(little):
    task = make(NextToken, little)
    metrics = task.evaluate()
    model, loss, correct, repeated, asked = task.model.eval(), 0.0, 0, 0, 0
    for utterance in little.dev:
        x = normalize(utterance.waveform())[None]
        codes = task.teacher.codes(x)[0]  # (T, G)
        logits = model.lm_head(model.wav2vec2(x).last_hidden_state)[0].unflatten(1, (2, 4))  # (T, G, V)
        loss += torch.nn.functional.cross_entropy(
            logits[:-1].flatten(0, 1), codes[1:].flatten(), reduction="sum"
        ).item()
        correct += int((logits[:-1].argmax(dim=2) == codes[1:]).all(dim=1).sum())
        repeated += int((codes[1:] == codes[:-1]).all(dim=1).sum())
        asked += len(codes) - 1
    assert metrics["token_loss"] == pytest.approx(loss / asked, rel=1e-4)
    assert (metrics["accuracy"], metrics["repeat_accuracy"]) == (correct / asked, repeated / asked)
    assert 0 < repeated < asked


@pytest.mark.slow
def test_the_loss_falls_in_training(little):
    for kind in PREDICTIVE:
        task = make(kind, little, updates=40, warmup_updates=4, learning_rate=3e-3)
        records = list(Trainer(task, task.settings).records())
        assert records[-1]["loss"] < records[0]["loss"] - 0.05, kind


@pytest.mark.slow
def test_a_quantizer_that_is_trained_by_the_guess_collapses_and_a_frozen_one_cannot(little):
    config = replace(CAUSAL, diversity_loss_weight=0.0)
    changes = {"updates": 80, "warmup_updates": 4, "learning_rate": 1e-2}
    joint, frozen = (make(kind, little, config, **changes) for kind in (JointNextToken, NextToken))
    (*_, collapsed), (*_, honest) = (list(Trainer(task, task.settings).records()) for task in (joint, frozen))
    assert collapsed["loss"] < 0.1
    assert collapsed["code_perplexity"] < 2.2, "one entry in each of two codebooks"
    assert honest["loss"] > 0.5


@pytest.mark.parametrize("kind", PREDICTIVE)
def test_a_resumed_run_is_the_same_run(little, tmp_path, kind):
    whole = make(kind, little)
    records = list(Trainer(whole, whole.settings).records())
    begun = make(kind, little)
    trainer = Trainer(begun, begun.settings, tmp_path)
    for record in trainer.records():
        if record["update"] == 4:
            break
    resumed = make(kind, little)
    trainer = Trainer(resumed, resumed.settings, tmp_path)
    trainer.start(resume=True)
    assert trainer.update == 3
    rest = list(trainer.records())
    assert without_times(rest)[-1] == without_times(records)[-1]
    assert same_weights(resumed.model, whole.model)
    assert same_weights(kind.model_class.from_pretrained(tmp_path / "model"), whole.model)


def test_the_objective_is_part_of_a_runs_identity(little):
    tasks = [make(kind, little) for kind in OBJECTIVES.values()]
    assert len({task.fingerprint()["objective"] for task in tasks}) == len(OBJECTIVES) == 4
    assert tasks[0].fingerprint()["objective"] == "masked contrastive"
    other = NextToken(CAUSAL, little.settings(), little.train, little.dev, Wav2Vec2ForPreTraining(CONFIG))
    assert other.fingerprint() != make(NextToken, little).fingerprint()


@pytest.mark.parametrize("objective", ["masked", "next-step", "next-token", "joint-next-token"])
def test_the_command_line_trains_each(little, tmp_path, objective):
    words = f"pretrain --preset micro --objective {objective} --updates 2 --warmup-updates 1 --batch-size 2"
    done = invoke(*words.split(), "--corpus", little.folder, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    model = OBJECTIVES[objective].model_class.from_pretrained(tmp_path / "run" / "model")
    assert model.config.causal == (objective != "masked")
    (record,) = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert record["dev_accuracy"] >= 0


def test_the_command_line_says_why_base_cannot_be_causal(little, tmp_path):
    words = ["pretrain", "--preset", "base", "--objective", "next-step", "--updates", "2", "--warmup-updates", "1"]
    done = invoke(*words, "--corpus", little.folder, "--out", tmp_path)
    assert done.exit_code == 1
    assert "feat_extract_norm is 'group'; it must be 'layer', without conv_gate, where causal is on" in done.stderr
