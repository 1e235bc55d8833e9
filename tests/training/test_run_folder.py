"""What a run leaves on disk is whole, and where it cannot be written or read, one sentence says so."""

import json

import pytest
import torch
from little_run import file_size_limit
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from w2v2_teach.training.run_folder import RunError, RunFolder, read_metrics


def state(update: int) -> dict:
    """As large as 100,000 numbers: 400 kB."""
    return {"update": update, "model": {"weight": torch.full((100_000,), float(update))}, "pair": (1, None)}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start(0)
    yield folder
    folder.close()


def names(folder) -> set[str]:
    return {path.name for path in folder.path.iterdir()}


# --- the state -------------------------------------------------------------------------------------------------------


def test_a_state_comes_back_as_it_was(folder):
    for update in (1, 2):
        folder.save(state(update))
        loaded = folder.load()
        assert loaded["update"] == update
        assert loaded["pair"] == (1, None)
        assert torch.equal(loaded["model"]["weight"], state(update)["model"]["weight"])
    assert names(folder) == {"state.pt", "metrics.jsonl", "tensorboard"}


@pytest.mark.parametrize("size", [1_000, 100_000, 400_000])
def test_a_full_disk_keeps_the_state_before(folder, size):
    folder.save(state(1))
    before = folder.state_file.read_bytes()
    with file_size_limit(size), pytest.raises(RunError) as caught:
        folder.save(state(2))
    assert "the state of update 2 cannot be written" in str(caught.value)
    assert f"the state before it stays in {folder.state_file}" in str(caught.value)
    assert folder.state_file.read_bytes() == before
    assert folder.load()["update"] == 1
    assert names(folder) == {"state.pt", "metrics.jsonl", "tensorboard"}, "no half-written file"


def test_a_full_disk_at_the_first_state_leaves_nothing(folder):
    with file_size_limit(100_000), pytest.raises(RunError, match=r"the state of update 1 .*nothing is saved"):
        folder.save(state(1))
    assert names(folder) == {"metrics.jsonl", "tensorboard"}


def test_without_a_state_there_is_nothing_to_resume(folder, tmp_path):
    for empty in (folder, RunFolder(tmp_path / "nowhere")):
        with pytest.raises(RunError, match=rf"{empty.path.name} holds no state\.pt: there is nothing to resume"):
            empty.load()


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_truncated_state_is_named_and_left_alone(folder, share):
    folder.save(state(1))
    content = folder.state_file.read_bytes()
    content = content[: int(share * len(content))]
    folder.state_file.write_bytes(content)
    with pytest.raises(RunError) as caught:
        folder.load()
    assert f"{folder.state_file} is damaged, and left as it is" in str(caught.value)
    assert folder.state_file.read_bytes() == content


@pytest.mark.parametrize("content", [b"\n", bytes(4_000), b"PK\x03\x04" + bytes(500)])
def test_what_is_no_state_is_named(folder, content):
    folder.state_file.write_bytes(content)
    with pytest.raises(RunError, match=r"state\.pt is damaged"):
        folder.load()


# --- the metrics -----------------------------------------------------------------------------------------------------


def lines(*updates: int) -> list[dict]:
    return [{"update": update, "loss": 1 / update} for update in updates]


def test_metrics_are_one_line_each(folder):
    for line in lines(10, 20, 30):
        folder.log(line)
    assert [json.loads(line) for line in folder.metrics_file.read_text().splitlines()] == lines(10, 20, 30)
    assert read_metrics(str(folder.metrics_file)) == lines(10, 20, 30)


@pytest.mark.parametrize("half", ['{"upd', '{"update": 4', '{"update": 40, "loss": 1.0}'])
def test_a_half_written_last_line_is_left_out(folder, half):
    for line in lines(10, 20):
        folder.log(line)
    with folder.metrics_file.open("a") as file:
        file.write(half)
    assert read_metrics(folder.metrics_file) == lines(10, 20)
    folder.start(20)
    folder.log(*lines(30))
    assert read_metrics(folder.metrics_file) == lines(10, 20, 30), "the next line does not hang on to it"


def test_lines_beyond_the_state_go(folder):
    for line in lines(10, 20, 30, 40):
        folder.log(line)
    folder.close()
    folder = RunFolder(folder.path)
    folder.start(25)
    assert read_metrics(folder.metrics_file) == lines(10, 20)
    folder.log({"update": 30, "loss": 7.0})
    folder.close()
    assert read_metrics(folder.metrics_file) == [*lines(10, 20), {"update": 30, "loss": 7.0}]
    assert scalars(folder, "loss") == {10: pytest.approx(0.1), 20: pytest.approx(0.05), 30: 7.0}


def test_no_metrics_yet(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    (tmp_path / "metrics.jsonl").write_text('{"update": 1')
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def scalars(folder, tag: str) -> dict[int, float]:
    events = EventAccumulator(str(folder.path / "tensorboard")).Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


def test_tensorboard_shows_the_same(folder):
    for update in (10, 20):
        folder.log({"update": update, "loss": 2.0 * update, "dev_accuracy": 0.5})
    folder.close()
    assert scalars(folder, "loss") == {10: 20, 20: 40}
    assert scalars(folder, "dev_accuracy") == {10: 0.5, 20: 0.5}
    assert set(EventAccumulator(str(folder.path / "tensorboard")).Reload().Tags()["scalars"]) == {
        "loss",
        "dev_accuracy",
    }


def test_a_full_disk_names_the_metrics(folder):
    folder.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines(*range(1, 501))))
    size = folder.metrics_file.stat().st_size
    with file_size_limit(size), pytest.raises(RunError, match=r"metrics\.jsonl cannot be written to: .*too large"):
        folder.log(*lines(501))
    assert read_metrics(folder.metrics_file) == lines(*range(1, 501))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    for path in (tmp_path / "run", tmp_path / "run" / "inside"):
        with pytest.raises(RunError, match=rf"{path} cannot be written to"):
            RunFolder(path).start(0)
