"""Round trips with transformers in both directions, and every way in which a checkpoint can be wrong."""

import http.server
import json
import os
import re
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest
import torch
import transformers
from little_run import file_size_limit
from local_server import serving
from safetensors.torch import load_file, save_file

from w2v2_teach import checkpoints
from w2v2_teach.checkpoints import CheckpointError
from w2v2_teach.config import NOTES, ConfigError
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.reference import transformers_config


@pytest.fixture(scope="module")
def config(large_style):
    return replace(large_style, num_hidden_layers=1)


@pytest.fixture(scope="module")
def model(config):
    torch.manual_seed(0)
    return Wav2Vec2Model(config).eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


X = torch.linspace(-1, 1, 4000).sin()[None]  # (1, L)


def context(model) -> torch.Tensor:
    with torch.no_grad():
        return model(X).last_hidden_state


def edit_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def test_round_trip(model, folder):
    loaded = Wav2Vec2Model.from_pretrained(folder)
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(context(loaded), context(model))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_notes_round_trip(tmp_path):
    model = Wav2Vec2Model(NOTES).eval()
    model.save_pretrained(tmp_path)
    assert torch.equal(context(Wav2Vec2Model.from_pretrained(tmp_path)), context(model))


def test_transformers_loads_what_we_save(model, folder):
    theirs, report = transformers.Wav2Vec2Model.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    torch.testing.assert_close(context(theirs.eval()), context(model), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "head", ["Wav2Vec2Model", "Wav2Vec2ForPreTraining", "Wav2Vec2ForCTC", "Wav2Vec2ForSequenceClassification"]
)
def test_we_load_what_transformers_saves_with_any_head(config, tmp_path, head):
    theirs = getattr(transformers, head)(transformers_config(config)).eval()
    theirs.save_pretrained(tmp_path)
    ours = Wav2Vec2Model.from_pretrained(tmp_path)
    torch.testing.assert_close(context(ours), context(getattr(theirs, "wav2vec2", theirs)), atol=1e-5, rtol=0)


def test_old_files_pickled_with_weight_g_and_weight_v(model, folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    conv = "encoder.pos_conv_embed.conv."
    weights[conv + "weight_g"] = weights.pop(conv + "parametrizations.weight.original0")
    weights[conv + "weight_v"] = weights.pop(conv + "parametrizations.weight.original1")
    torch.save({f"wav2vec2.{key}": tensor for key, tensor in weights.items()}, folder / "pytorch_model.bin")
    assert torch.equal(context(Wav2Vec2Model.from_pretrained(folder)), context(model))


def test_the_mask_vector_under_its_old_name(model, folder):
    """As facebook/wav2vec2-base-100h has it."""

    def rename(weights):
        weights["wav2vec2.mask_time_emb_vector"] = weights.pop("masked_spec_embed")
        weights.update({f"wav2vec2.{key}": weights.pop(key) for key in list(weights) if "mask_time" not in key})

    edit_weights(folder, rename)
    assert torch.equal(Wav2Vec2Model.from_pretrained(folder).masked_spec_embed, model.masked_spec_embed)


def test_a_config_without_labels_may_say_null(folder):
    edit_config(folder, id2label=None, label2id=None)
    assert Wav2Vec2Model.from_pretrained(folder).config.labels == ()


@pytest.fixture
def shards(model, config, tmp_path):
    """A checkpoint that transformers has cut into several files."""
    theirs = transformers.Wav2Vec2Model(transformers_config(config))
    theirs.load_state_dict(model.state_dict())
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    return tmp_path / "shards"


def test_a_sharded_checkpoint(model, shards):
    assert len(list(shards.glob("*.safetensors"))) == 2
    assert_same_weights(Wav2Vec2Model.from_pretrained(shards), model)


def test_a_sharded_checkpoint_of_pickles(model, folder):
    (folder / "model.safetensors").unlink()
    weights = model.state_dict()
    files = {key: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, key in enumerate(weights)}
    for file in set(files.values()):
        torch.save({key: tensor for key, tensor in weights.items() if files[key] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    assert_same_weights(Wav2Vec2Model.from_pretrained(folder), model)


def test_a_shard_that_is_missing_is_named(shards):
    (shard, *_) = sorted(shards.glob("model-00002-of-*.safetensors"))
    shard.unlink()
    with pytest.raises(CheckpointError, match=rf"shards has no {shard.name}\.$"):
        Wav2Vec2Model.from_pretrained(shards)


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"weight_map": {"a": {"file": "b"}}}'])
def test_an_index_that_names_no_files_is_refused(shards, content):
    (shards / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json (has no|is not|cannot be read)"):
        Wav2Vec2Model.from_pretrained(shards)


def test_half_precision_files_load_in_single_precision(model, folder):
    edit_weights(folder, lambda weights: weights.update({key: tensor.half() for key, tensor in weights.items()}))
    loaded = Wav2Vec2Model.from_pretrained(folder)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(context(loaded), context(model), atol=0.05, rtol=0)


def test_a_missing_mask_vector_is_drawn_anew(model, folder):
    edit_weights(folder, lambda weights: weights.pop("masked_spec_embed"))
    loaded = Wav2Vec2Model.from_pretrained(folder)
    assert torch.equal(context(loaded), context(model))
    assert 0 <= loaded.masked_spec_embed.min() <= loaded.masked_spec_embed.max() <= 1


KEY = "encoder.layers.0.attention.k_proj.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(KEY), f"model.safetensors lacks {KEY}"),
        (lambda w: w.update(surprise=torch.zeros(1)), "model.safetensors has surprise, which"),
        (lambda w: w.update({KEY: torch.zeros(3, 4)}), rf"{KEY} has shape \(3, 4\); .* asks for \(32, 32\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_key(folder, change, message):
    edit_weights(folder, change)
    with pytest.raises(CheckpointError, match=message):
        Wav2Vec2Model.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_are_not_finite_are_refused_by_key(folder, value, dtype):
    def spoil(weights):
        weights[KEY] = weights[KEY].to(dtype)
        weights[KEY][2, 3] = value

    edit_weights(folder, spoil)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: {KEY} has values that are NaN or infinite"):
        Wav2Vec2Model.from_pretrained(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "holds a list, not weights by name"),
        (torch.ones(2), "holds a Tensor, not weights by name"),
        ({"epoch": 3, "state_dict": {KEY: torch.ones(2)}}, "holds more than weights: 'epoch' is no tensor"),
        ({KEY: "a string"}, f"holds more than weights: '{KEY}' is no tensor"),
        ({KEY: torch.ones(2, dtype=torch.int8)}, f"holds more than weights: '{KEY}' is no tensor of floating-point"),
        ({KEY: torch.eye(2).to_sparse()}, f"holds more than weights: '{KEY}' is no tensor"),
        ({7: torch.ones(2)}, "holds more than weights: 7 is no tensor"),
        (b"a page that says not found", "cannot be read"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_a_bin_that_holds_something_else_is_refused(folder, content, message):
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=rf"pytorch_model\.bin {message}"):
        Wav2Vec2Model.from_pretrained(folder)


@pytest.fixture(scope="module")
def pretraining_model(config):
    torch.manual_seed(0)
    return Wav2Vec2ForPreTraining(config).eval()


def assert_same_weights(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    for key, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[key].float(), rtol=0, atol=0)


def test_a_pretraining_model_goes_to_transformers_and_back(pretraining_model, tmp_path):
    pretraining_model.save_pretrained(tmp_path / "ours")
    theirs = transformers.Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "ours")
    assert_same_weights(pretraining_model, theirs)
    theirs.save_pretrained(tmp_path / "theirs")
    assert_same_weights(Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "theirs"), theirs)
    base = Wav2Vec2Model.from_pretrained(tmp_path / "theirs")
    assert_same_weights(base, theirs.wav2vec2)


def test_a_base_checkpoint_has_no_quantizer_for_pretraining(folder):
    with pytest.raises(CheckpointError, match=r"lacks project_hid\.bias and \d+ more"):
        Wav2Vec2ForPreTraining.from_pretrained(folder)


def test_saving_in_half_precision_halves_the_file(pretraining_model, tmp_path):
    pretraining_model.save_pretrained(tmp_path / "single")
    pretraining_model.save_pretrained(tmp_path / "half", torch.float16)
    single, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("single", "half"))
    assert half < 0.6 * single
    weights = Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "half").state_dict()
    for key, tensor in pretraining_model.state_dict().items():
        assert weights[key].dtype == torch.float32
        torch.testing.assert_close(weights[key], tensor, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_the_course_is_found_by_its_name(pretraining_model, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    pretraining_model.save_pretrained(tmp_path / "tiny-something")
    assert_same_weights(Wav2Vec2ForPreTraining.from_pretrained("tiny-something"), pretraining_model)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_truncated_file_is_refused_by_name(model, folder, file, keep):
    if file == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / file)
    whole = (folder / file).read_bytes()
    assert len(whole) > keep
    (folder / file).write_bytes(whole[:keep])
    with pytest.raises(CheckpointError, match=f"{file} cannot be read"):
        Wav2Vec2Model.from_pretrained(folder)


def test_a_pickle_that_would_run_code_is_refused(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": pytest.raises}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin cannot be read"):
        Wav2Vec2Model.from_pretrained(folder)


def test_an_unsupported_setting_is_refused_with_the_file(folder):
    edit_config(folder, add_adapter=True)
    with pytest.raises(ConfigError, match=r"config\.json: add_adapter is True"):
        Wav2Vec2Model.from_pretrained(folder)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "cannot be read as JSON"), ("[1]", "is not a JSON object of names and values")]
)
def test_a_broken_config_is_refused(folder, content, message):
    (folder / "config.json").write_text(content)
    for read in (Wav2Vec2Model.from_pretrained, checkpoints.architecture):
        with pytest.raises(CheckpointError, match=rf"config\.json {message}"):
            read(folder)


def test_a_folder_without_a_checkpoint(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors or .* or pytorch_model\.bin or "):
        Wav2Vec2Model.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"saved has no config\.json"):
        Wav2Vec2Model.from_pretrained(folder)


def test_an_interrupted_save_leaves_the_old_checkpoint(model, folder, monkeypatch):
    monkeypatch.setattr(
        "w2v2_teach.checkpoints.save_file", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(CheckpointError, match=r"the model cannot be written to .*: disk full\."):
        model.save_pretrained(folder)
    assert torch.equal(context(Wav2Vec2Model.from_pretrained(folder)), context(model))


# The hub: never asked unless the caller says so. A local server plays it, in a process with an empty cache.


class Hub(http.server.SimpleHTTPRequestHandler):
    """Serves /someone/model/resolve/main/FILE from a folder, with the headers that huggingface_hub asks for."""

    def translate_path(self, path):
        return f"{self.server.folder}/{path.rsplit('/', 1)[1]}"

    def end_headers(self):
        self.send_header("ETag", f'"{zlib.crc32(self.path.encode())}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        super().end_headers()

    def send_error(self, code, *_):
        self.send_response(code)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(folder):
    with serving(Hub) as server:
        server.folder = folder
        yield server


def load_from_hub(endpoint: str, cache, *downloads: bool) -> subprocess.CompletedProcess:
    """`from_pretrained("someone/model")` in a process of its own, once for each value of `download`."""
    code = "".join(
        f"""
try:
    model = Wav2Vec2Model.from_pretrained("someone/model", download={download})
    print("loaded", model.config.hidden_size)
except CheckpointError as error:
    print("refused:", error)
"""
        for download in downloads
    )
    code = f"from w2v2_teach.model import Wav2Vec2Model\nfrom w2v2_teach.checkpoints import CheckpointError\n{code}"
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    env["TQDM_POSITION"] = "-1"  # draw progress bars although no terminal is there
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=120
    )


def test_the_hub_is_asked_only_on_request_and_then_cached(hub, tmp_path):
    run = load_from_hub(hub.url.rstrip("/"), tmp_path / "cache", False, True, False)
    first, second, third = run.stdout.splitlines()
    assert first == (
        "refused: someone/model is no folder, and its config.json is not in the cache: fetch it with "
        "`w2v2-teach download someone/model` or with download=True."
    )
    assert second == third == "loaded 32"
    assert "model.safetensors: 100%" in run.stderr  # the progress bar


@pytest.mark.slow
def test_the_command_line_fetches_a_checkpoint(hub, tmp_path):
    environment = {**os.environ, "HF_ENDPOINT": hub.url.rstrip("/"), "HF_HUB_DISABLE_XET": "1"}

    def w2v2_teach(cache, *words):
        command = [sys.executable, "-m", "w2v2_teach.cli", *words]
        env = {**environment, "HF_HOME": str(cache)}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    fetched = w2v2_teach(tmp_path / "cache", "download", "someone/model")
    assert (fetched.returncode, fetched.stdout.split(",")[0]) == (0, "someone/model: Wav2Vec2Model"), fetched.stderr
    evaluated = w2v2_teach(tmp_path / "cache", "evaluate", "someone/model")
    assert evaluated.stderr.startswith("someone/model is a Wav2Vec2Model; what can be evaluated"), "it was found"
    (tmp_path / "file").touch()
    refused = w2v2_teach(tmp_path / "file", "download", "someone/model")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "someone/model/config.json cannot be fetched: " in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_disk_that_is_full_is_one_sentence(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"the model cannot be written to .*file: "):
        model.save_pretrained(tmp_path / "file")
    with file_size_limit(5_000), pytest.raises(CheckpointError, match=r"the model cannot be written to .*model: "):
        model.save_pretrained(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]


def test_a_checkpoint_from_before_safetensors(hub, model, tmp_path):
    (hub.folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), hub.folder / "pytorch_model.bin")
    run = load_from_hub(hub.url.rstrip("/"), tmp_path / "cache", True, False)
    assert run.stdout.splitlines() == ["loaded 32", "loaded 32"]


def test_a_sharded_checkpoint_of_the_hub(hub, shards, tmp_path):
    hub.folder = shards
    run = load_from_hub(hub.url.rstrip("/"), tmp_path / "cache", True, False)
    assert run.stdout.splitlines() == ["loaded 32", "loaded 32"]


def test_a_cache_that_cannot_be_written_to_is_one_clear_sentence(hub, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    run = load_from_hub(hub.url.rstrip("/"), tmp_path / "cache", True)
    assert re.fullmatch(r"refused: someone/model/config\.json cannot be fetched: .*/cache.*\n", run.stdout)


def test_a_model_of_this_machine_needs_no_library_that_downloads(folder):
    code = f"""
import sys
from w2v2_teach import ctc, heads, objectives
from w2v2_teach.model import Wav2Vec2Model
Wav2Vec2Model.from_pretrained({str(folder)!r})
print(sorted({{"huggingface_hub", "requests", "httpx", "pooch", "transformers", "matplotlib"}} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout == "[]\n"


@pytest.mark.slow  # the hub's library tries again for half a minute
def test_no_network_is_one_clear_sentence(tmp_path):
    run = load_from_hub("http://127.0.0.1:9", tmp_path / "cache", True)
    assert run.stdout == (
        "refused: someone/model/config.json cannot be fetched: no answer from the hub. Is there a network?\n"
    )


def test_a_name_that_is_neither_folder_nor_hub_id():
    for name in ("no/such/folder/anywhere", "tiny-ars"):
        with pytest.raises(CheckpointError, match=r"neither a folder, a checkpoint .* \(tiny-asr, .*nor a hub id"):
            Wav2Vec2Model.from_pretrained(name)
