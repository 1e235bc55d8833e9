"""The training loop: an interrupted run is the same run, numbers are normalized over everything, trouble is told."""

import json
import math
import os
import shutil
import signal
import threading
from dataclasses import replace

import pytest
import torch
from little_run import CONFIG, WITH_DROPOUT, file_size_limit, little_corpus, same_weights, without_times
from requirements import require
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import AudioError
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks import pretraining
from w2v2_teach.training.run_folder import RunError, RunFolder, read_metrics
from w2v2_teach.training.settings import SettingsError
from w2v2_teach.training.trainer import RECENT, Interrupted, Trainer

WITHOUT_DIVERSITY = replace(CONFIG, diversity_loss_weight=0.0)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus"))


def run(trainer: Trainer) -> Trainer:
    """To the end."""
    trainer.seen = list(trainer.records())
    return trainer


def difference(one: nn.Module, other: nn.Module) -> float:
    theirs = other.state_dict()
    return max((x - theirs[name]).abs().max().item() for name, x in one.state_dict().items())


def metrics(folder) -> list[dict]:
    return without_times(read_metrics(folder / "metrics.jsonl"))


# --- the same run, wherever it was interrupted ------------------------------------------------------------------------


@pytest.mark.parametrize(("clip", "workers"), [(None, 0), (0.5, 1)])
def test_a_resumed_run_is_the_same_run(little, tmp_path, clip, workers):
    # a state is saved in the middle of what a line of metrics sums up, and dropout is on
    changes = {"updates": 8, "log_every": 3, "save_every": 2, "evaluate_every": 5, "clip_grad_norm": clip}
    whole = run(little.trainer(tmp_path / "whole", WITH_DROPOUT, **changes))
    first = little.trainer(tmp_path / "parts", WITH_DROPOUT, **changes, workers=workers)
    for record in first.records():
        if record["update"] == 3:
            break  # and never comes back, like a process that is killed
    assert RunFolder(tmp_path / "parts").load()["update"] == 2
    second = little.trainer(tmp_path / "parts", WITH_DROPOUT, **changes, workers=workers)
    second.start(resume=True)
    assert second.update == 2
    run(second)
    assert [line["update"] for line in metrics(tmp_path / "whole")] == [3, 5, 6, 8]
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert same_weights(second.task.model, whole.task.model)


def test_a_run_that_is_done_stays_done(little, tmp_path):
    whole = run(little.trainer(tmp_path))
    shutil.rmtree(tmp_path / "model")  # killed between the last state and the model
    before = metrics(tmp_path)
    again = little.trainer(tmp_path)
    again.start(resume=True)
    assert list(again.records()) == []
    assert metrics(tmp_path) == before
    assert same_weights(Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "model"), whole.task.model)


def test_evaluating_and_saving_more_often_changes_nothing(little, tmp_path):
    one = run(little.trainer(tmp_path / "one", WITH_DROPOUT, log_every=1))
    other = run(little.trainer(None, WITH_DROPOUT, log_every=1, evaluate_every=2, save_every=1, snapshot_every=3))
    assert same_weights(one.task.model, other.task.model)


def test_another_seed_is_another_run(little):
    one, other = (run(little.trainer(seed=seed)).seen for seed in (0, 1))
    assert one[-1]["contrastive_loss"] != other[-1]["contrastive_loss"]


def test_where_a_run_is_it_is_not_overwritten(little, tmp_path):
    run(little.trainer(tmp_path))
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(RunError, match=f"{tmp_path} already holds a run: --resume goes on with it, another folder"):
        little.trainer(tmp_path).start()
    assert (tmp_path / "state.pt").read_bytes() == before
    little.trainer(tmp_path / "another").start()


def test_where_no_run_is_none_is_resumed(little, tmp_path):
    with pytest.raises(RunError, match="there is nothing to resume"):
        little.trainer(tmp_path).start(resume=True)


def test_a_run_without_a_folder_is_not_resumed(little):
    with pytest.raises(RunError, match="keeps no state to resume from: give the Trainer the run's folder"):
        little.trainer().start(resume=True)


def test_a_resumed_run_is_not_another_one(little, tmp_path):
    run(little.trainer(tmp_path))
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(SettingsError, match=r"learning_rate was 0\.003 and is 0\.001; seed was 0 and is 1"):
        little.trainer(tmp_path, learning_rate=1e-3, seed=1).start(resume=True)
    with pytest.raises(SettingsError, match="run of another model"):
        little.trainer(tmp_path, replace(CONFIG, num_negatives=6)).start(resume=True)
    task = little.task()
    task.train_corpus = Corpus("another", little.train)
    with pytest.raises(SettingsError, match="on other speech"):
        Trainer(task, task.settings, tmp_path).start(resume=True)
    little.trainer(tmp_path, workers=1, save_every=1, evaluate_every=1, snapshot_every=1).start(resume=True)
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_full_disk_stops_the_run_with_an_earlier_state(little, tmp_path):
    trainer = little.trainer(tmp_path)
    records = trainer.records()
    assert [next(records)["update"] for _ in range(2)] == [2, 4]  # the state of update 3 has been saved
    with file_size_limit(30_000), pytest.raises(RunError) as caught:
        next(records)
    assert f"the state before it stays in {tmp_path}/state.pt" in str(caught.value)
    assert not list(tmp_path.rglob("*.part"))
    again = little.trainer(tmp_path)
    again.start(resume=True)
    assert again.update == 3
    assert same_weights(run(again).task.model, run(little.trainer()).task.model)


def test_an_evaluation_that_fails_costs_no_update(little, tmp_path):
    changes = {"updates": 8, "log_every": 3, "save_every": 8, "evaluate_every": 5}
    broken = little.trainer(tmp_path / "parts", WITH_DROPOUT, **changes)

    def fail():
        raise AudioError("dev-01.wav breaks off")

    broken.task.evaluate = fail
    with pytest.raises(AudioError, match="breaks off"):
        run(broken)
    assert RunFolder(tmp_path / "parts").load()["update"] == 5
    again = little.trainer(tmp_path / "parts", WITH_DROPOUT, **changes)
    again.start(resume=True)
    whole = run(little.trainer(tmp_path / "whole", WITH_DROPOUT, **changes))
    assert same_weights(run(again).task.model, whole.task.model)
    training = [
        {name: value for name, value in line.items() if line["update"] != 5 or not name.startswith("dev_")}
        for line in metrics(tmp_path / "whole")
    ]
    assert metrics(tmp_path / "parts") == training, "all but what could not be measured"


# --- asked to stop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_update_end_and_saves(little, tmp_path, number):
    before = signal.getsignal(number)
    trainer = little.trainer(tmp_path, save_every=6)
    records = trainer.records()
    assert next(records)["update"] == 2
    assert signal.getsignal(number) != before
    signal.raise_signal(number)
    with pytest.raises(Interrupted, match=rf"stopped after update 3 of 6; .*--out {tmp_path} --resume"):
        next(records)
    assert RunFolder(tmp_path).load()["update"] == 3
    assert signal.getsignal(number) == before
    again = little.trainer(tmp_path)
    again.start(resume=True)
    assert same_weights(run(again).task.model, run(little.trainer()).task.model)


def test_a_second_signal_is_not_waited_for(little):
    before = signal.getsignal(signal.SIGINT)
    records = little.trainer().records()
    next(records)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    records.close()
    assert signal.getsignal(signal.SIGINT) == before


def test_without_a_folder_nothing_is_kept(little, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = little.trainer()
    records = trainer.records()
    next(records)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped after update 3 of 6; the run has no folder, so nothing is saved"):
        next(records)
    assert len(run(trainer).seen) == 2, "the same trainer goes on: updates 4 and 6"
    assert os.listdir(tmp_path) == []


def test_a_run_in_another_thread(little):
    trainers = []
    thread = threading.Thread(target=lambda: trainers.append(run(little.trainer())))
    thread.start()
    thread.join(60)
    assert same_weights(trainers[0].task.model, run(little.trainer()).task.model)


# --- one update ------------------------------------------------------------------------------------------------------


def test_an_update_by_hand(little):
    trainer = little.trainer(updates=1, warmup_updates=0, log_every=1, evaluate_every=1)
    task, by_hand = little.task(), {}
    prepare = trainer.task.prepare

    def remember(*args):
        by_hand["work"] = prepare(*args)
        return by_hand["work"]

    trainer.task.prepare = remember
    run(trainer)
    (part,) = by_hand["work"].micro_batches
    optimizer = torch.optim.AdamW(task.model.parameters(), 3e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    N = int(part["mask_time_indices"].sum())
    loss = task.losses(task.model, part).loss / N
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in task.model.parameters()]).norm()
    optimizer.step()
    assert difference(trainer.task.model, task.model) <= 1e-6
    (record,) = trainer.seen
    assert record["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert record["grad_norm"] == pytest.approx(norm.item(), rel=1e-5)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_add_up_to_the_batch(little, accumulate):
    # 5 updates whose micro-batches hold different numbers of masked frames
    changes = {"updates": 5, "log_every": 1}
    whole = run(little.trainer(None, WITHOUT_DIVERSITY, **changes))
    trainer = little.trainer(None, WITHOUT_DIVERSITY, **changes, accumulate=accumulate)
    counts, losses = [], trainer.task.losses
    trainer.task.losses = lambda model, part: (counts.append(len(part["negatives"])), losses(model, part))[1]
    run(trainer)
    assert len(counts) == 5 * accumulate
    assert any(counts[i] != counts[i + 1] for i in range(0, len(counts), 2)), "else a mean of means would do"
    assert difference(trainer.task.model, whole.task.model) <= 1e-5
    for ours, theirs in zip(trainer.seen, whole.seen, strict=True):
        for name in ("loss", "contrastive_loss", "accuracy", "grad_norm", "hours_of_audio", "learning_rate"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5), name


def test_a_batch_that_cannot_be_divided_is_refused(little):
    with pytest.raises(SettingsError, match="batch_size=4 cannot be divided among 1 processes with 3 micro-batches"):
        little.trainer(accumulate=3)


def test_results_do_not_depend_on_the_workers(little):
    none, two = (run(little.trainer(workers=workers, log_every=1)) for workers in (0, 2))
    assert without_times(none.seen) == without_times(two.seen)
    assert same_weights(none.task.model, two.task.model)


def at_each_step(trainer: Trainer, look) -> list:
    """What `look(optimizer)` finds when the optimizer takes its steps."""
    found = []
    trainer.optimizer.register_step_pre_hook(lambda optimizer, *_: found.append(look(optimizer)))
    run(trainer)
    return found


def applied_norm(optimizer) -> float:
    gradients = [p.grad.norm() for group in optimizer.param_groups for p in group["params"]]
    return torch.stack(gradients).norm().item()


def test_clipping_bounds_the_gradient_that_is_applied(little):
    free, clipped = little.trainer(log_every=1), little.trainer(log_every=1, clip_grad_norm=0.5)
    norms = at_each_step(free, applied_norm)
    assert min(norms) > 1, "there is something to clip"
    assert norms == pytest.approx([record["grad_norm"] for record in free.seen], rel=1e-5)
    assert at_each_step(clipped, applied_norm) == pytest.approx([0.5] * 6, rel=1e-4)
    assert clipped.seen[0]["grad_norm"] == free.seen[0]["grad_norm"], "the report is of the gradient before clipping"
    loose = little.trainer(log_every=1, clip_grad_norm=1e6)
    assert same_weights(run(loose).task.model, free.task.model)


def test_the_task_changes_the_gradient_before_it_is_clipped(little):
    trainer = little.trainer(encoder_gradient=0.0, weight_decay=0.0, clip_grad_norm=0.5)
    before = {name: x.clone() for name, x in trainer.task.model.state_dict().items()}
    assert at_each_step(trainer, applied_norm) == pytest.approx([0.5] * 6, rel=1e-4)
    for name, x in trainer.task.model.state_dict().items():
        assert torch.equal(x, before[name]) == name.startswith("wav2vec2.feature_extractor."), name


def test_each_update_has_its_learning_rate(little):
    trainer = little.trainer(log_every=1)  # 2 of 6 updates are warm-up, the peak is 0.003
    rates = at_each_step(trainer, lambda optimizer: optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.0015, 0.003, 0.003, 0.00225, 0.0015, 0.00075])
    assert [record["learning_rate"] for record in trainer.seen] == rates


# --- trouble ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(little, tmp_path, value):
    trainer = little.trainer(tmp_path, updates=8, log_every=1, save_every=2)
    records = trainer.records()
    norms = [next(records)["grad_norm"] for _ in range(5)]
    saved = (tmp_path / "state.pt").read_bytes()
    with torch.no_grad():
        trainer.task.model.project_q.weight[0, 0] = value
    before = {name: x.clone() for name, x in trainer.task.model.state_dict().items()}
    with pytest.raises(RunError) as caught:
        next(records)
    message = str(caught.value)
    assert message.startswith("update 6: the loss is nan.")
    assert f"this one last: {', '.join(f'{norm:.3g}' for norm in norms)}, nan" in message
    assert f"Utterances of the batch: {', '.join(trainer.task.dataset[5].ids)}." in message
    assert f"still those of update 5. The last state is in {tmp_path}/state.pt" in message
    assert (tmp_path / "state.pt").read_bytes() == saved
    assert RunFolder(tmp_path).load()["update"] == 4
    assert [line["update"] for line in metrics(tmp_path)] == [1, 2, 3, 4, 5]
    torch.testing.assert_close(trainer.task.model.state_dict(), before, rtol=0, atol=0, equal_nan=True)


def test_the_last_update_must_leave_a_model_that_can_be_loaded(little, tmp_path):
    trainer = little.trainer(tmp_path, save_every=4)

    def spoil(*_):
        if trainer.update == 5:  # the sixth and last
            with torch.no_grad():
                trainer.task.model.project_q.weight[0, 0] = math.nan

    trainer.optimizer.register_step_post_hook(spoil)
    with pytest.raises(RunError) as caught:
        run(trainer)
    said = f"update 6: project_q.weight has become NaN or infinite. The last state is in {tmp_path}/state.pt. A lower"
    assert str(caught.value).startswith(said)
    assert RunFolder(tmp_path).load()["update"] == 4
    assert not (tmp_path / "model").exists()


def test_a_learning_rate_that_is_far_too_high_is_told(little):
    with pytest.raises(RunError, match=r"No state is kept\. A lower learning rate, a longer warm-up") as caught:
        run(little.trainer(learning_rate=1e30, updates=20, log_every=20))
    shown = str(caught.value).split("this one last: ")[1].split(". Utt")[0]
    assert len(shown.split(", ")) <= RECENT


# --- what is looked at -----------------------------------------------------------------------------------------------


def test_a_line_of_metrics_says_all(little, tmp_path):
    run(little.trainer(tmp_path, updates=5, log_every=2, evaluate_every=3))
    records = read_metrics(tmp_path / "metrics.jsonl")
    training = {
        *("update", "loss", "contrastive_loss", "accuracy", "diversity_loss", "feature_penalty", "masked_share"),
        *("code_perplexity", "prob_perplexity", "temperature", "learning_rate", "grad_norm"),
        *("seconds_per_update", "hours_of_audio"),
    }
    dev = {"dev_contrastive_loss", "dev_accuracy", "dev_masked_frames"}
    dev |= {"dev_usage_perplexity", "dev_pnmi", "dev_code_tuples"}
    assert [record["update"] for record in records] == [2, 3, 4, 5]
    assert [record.keys() == training | (dev if record["update"] in (3, 5) else set()) for record in records]
    for record in records:
        assert all(math.isfinite(value) for value in record.values())
        assert 0.5 < record["contrastive_loss"] < math.log(6) + 1.5, "nats a masked frame; chance is ln 6"
        assert 0 <= record["accuracy"] <= 1
        assert 0.2 < record["masked_share"] < 0.8
        assert 2 <= record["code_perplexity"] <= 16
        assert 2 <= record["prob_perplexity"] <= 16
        assert 0 < record["seconds_per_update"] < 60
        assert record["hours_of_audio"] * 3600 == pytest.approx(record["update"] * 4 * 0.2)
        assert record["temperature"] == pytest.approx(2 * 0.998 ** (record["update"] - 1))


def test_evaluation_is_of_the_model_as_it_is_then(little):
    trainer = little.trainer(updates=5, evaluate_every=3)
    for record in trainer.records():
        if record["update"] in (3, 5):
            measured = trainer.task.evaluate()
            assert {name: record[f"dev_{name}"] for name in measured} == measured
    assert trainer.task.model.training


def test_a_line_sums_up_the_updates_since_the_one_before(little):
    single, joint = little.trainer(log_every=1), little.trainer(log_every=4)
    items, prepare = [], single.task.prepare

    def count(*args):
        work = prepare(*args)
        items.append(work.items)
        return work

    single.task.prepare = count
    single, joint = run(single).seen, run(joint).seen
    assert [record["update"] for record in joint] == [4, 6]
    for record, part in zip(joint, (slice(0, 4), slice(4, 6)), strict=True):
        N = sum(items[part])
        for name in ("loss", "contrastive_loss", "accuracy", "code_perplexity"):
            mean = sum(n * one[name] for n, one in zip(items[part], single[part], strict=True)) / N
            assert record[name] == pytest.approx(mean, rel=1e-6), name
        norms = [one["grad_norm"] for one in single[part]]
        assert record["grad_norm"] == pytest.approx(sum(norms) / len(norms))


def test_tensorboard_shows_every_number(little, tmp_path):
    changes = {"updates": 5, "log_every": 1, "save_every": 2}
    records = little.trainer(tmp_path, **changes).records()
    assert [next(records)["update"] for _ in range(3)] == [1, 2, 3]
    records.close()
    again = little.trainer(tmp_path, **changes)
    again.start(resume=True)
    run(again)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == lines[-1].keys() - {"update"}
    for tag in events.Tags()["scalars"]:
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        logged = [(line["update"], pytest.approx(line[tag], rel=1e-6)) for line in lines if tag in line]
        assert shown == logged, f"{tag}: each update once, also where a run was resumed"


def test_models_are_kept_at_intervals_and_at_the_end(little, tmp_path):
    trainer = little.trainer(tmp_path, updates=5, log_every=1, snapshot_every=2)
    weights = {}
    for record in trainer.records():
        weights[record["update"]] = {name: x.clone() for name, x in trainer.task.model.state_dict().items()}
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == ["000002", "000004"]
    for folder, update in (("snapshots/000002", 2), ("snapshots/000004", 4), ("model", 5)):
        model = Wav2Vec2ForPreTraining.from_pretrained(tmp_path / folder)
        assert model.config == CONFIG
        assert all(torch.equal(x, weights[update][name]) for name, x in model.state_dict().items())
        assert json.loads((tmp_path / folder / "config.json").read_text())["model_type"] == "wav2vec2"


def test_a_bar_shows_how_it_goes(little, capsys):
    little.trainer().train()
    said = capsys.readouterr().err
    assert "6/6" in said
    for name in pretraining.Pretraining.progress_metrics:
        assert f"{name}=" in said


# --- speed -----------------------------------------------------------------------------------------------------------


def test_bfloat16_is_used_and_learns(little):
    trainer = little.trainer(bf16=True, updates=60, log_every=20)
    kinds = set()
    trainer.task.model.project_hid.register_forward_hook(lambda _module, _input, y: kinds.add(y.dtype))
    first, *_, last = [record for record in trainer.records() if record["update"] <= 60]
    assert torch.bfloat16 in kinds
    assert last["contrastive_loss"] < first["contrastive_loss"]
    assert {x.dtype for x in trainer.task.model.state_dict().values()} == {torch.float32}, "weights stay as they are"


@pytest.mark.slow
def test_a_compiled_encoder_gives_the_same(little, tmp_path):
    require(any(map(shutil.which, ("g++", "clang++", "c++"))), "a C++ compiler, for torch.compile")
    import torch._inductor.config as inductor
    from torch._dynamo.utils import counters

    config = replace(CONFIG, conv_dim=(8,), conv_kernel=(40,), conv_stride=(80,))  # every kernel takes seconds
    changes = {"updates": 2, "log_every": 1, "evaluate_every": 2}
    plain, compiled = little.trainer(None, config, **changes), little.trainer(tmp_path, config, **changes, compile=True)
    for trainer in (plain, compiled):
        trainer.task.evaluate = dict  # in evaluation mode it would be compiled a second time
    counters.clear()
    run(plain)
    assert counters["stats"]["unique_graphs"] == 0
    with inductor.patch({"cpp.vec_isa_ok": False}):  # plain C++ compiles in half the time
        run(compiled)
    assert counters["stats"]["unique_graphs"] > 0
    for ours, theirs in zip(compiled.seen, plain.seen, strict=True):
        assert ours["contrastive_loss"] == pytest.approx(theirs["contrastive_loss"], rel=1e-3)
    assert difference(compiled.task.model, plain.task.model) <= 1e-3
    assert same_weights(Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "model"), compiled.task.model)
