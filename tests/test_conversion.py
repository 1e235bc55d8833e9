"""Checkpoints as fairseq and torchaudio write them become the same model here; hostile and damaged ones are refused."""

import argparse
import os
import re
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from command_line import invoke

from w2v2_teach.checkpoints import CheckpointError
from w2v2_teach.conversion import FAIRSEQ_SPECIAL, TORCHAUDIO_TOKENS, convert
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model

X = torch.linspace(-1, 1, 4000).sin()[None]  # (1, L)

# Our name → theirs, from the listing of their own classes; in the order in which they have to be tried.
TO_FAIRSEQ = {
    r"masked_spec_embed": "mask_emb",
    r"feature_extractor\.conv_layers\.(\d+)\.conv": r"feature_extractor.conv_layers.\1.0",
    r"feature_projection\.layer_norm": "layer_norm",
    r"feature_projection\.projection": "post_extract_proj",
    r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original0": "encoder.pos_conv.0.weight_g",
    r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original1": "encoder.pos_conv.0.weight_v",
    r"encoder\.pos_conv_embed\.conv": "encoder.pos_conv.0",
    r"encoder\.layers\.(\d+)\.attention": r"encoder.layers.\1.self_attn",
    r"encoder\.layers\.(\d+)\.layer_norm": r"encoder.layers.\1.self_attn_layer_norm",
    r"encoder\.layers\.(\d+)\.feed_forward\.intermediate_dense": r"encoder.layers.\1.fc1",
    r"encoder\.layers\.(\d+)\.feed_forward\.output_dense": r"encoder.layers.\1.fc2",
    r"quantizer\.codevectors": "quantizer.vars",
    r"project_hid": "final_proj",
}
TO_TORCHAUDIO = {
    r"feature_projection": "encoder.feature_projection",
    r"encoder": "encoder.transformer",
    r"lm_head": "aux",
}


def renamed(key: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if re.match(ours, key):
            return re.sub(f"^{ours}", theirs, key)
    return key


def fairseq_file(path, model, prefix="", **more):
    """A checkpoint with the model's weights as fairseq 0.10 writes it."""
    group_or_layer = "2.1" if model.config.feat_extract_norm == "layer" else "2"
    weights = {}
    for key, tensor in model.state_dict().items():
        name = renamed(key.removeprefix("wav2vec2."), TO_FAIRSEQ)
        name = re.sub(r"^(feature_extractor\.conv_layers\.\d+)\.layer_norm", rf"\1.{group_or_layer}", name)
        weights["w2v_encoder.proj" + name.removeprefix("lm_head") if "lm_head" in name else prefix + name] = tensor
    args = argparse.Namespace(
        encoder_attention_heads=model.config.num_attention_heads,
        layer_norm_first=model.config.do_stable_layer_norm,
        conv_feature_layers=" + ".join(
            str([shape])
            for shape in zip(model.config.conv_dim, model.config.conv_kernel, model.config.conv_stride, strict=True)
        ),
    )
    torch.save({"args": args, "model": weights, "optimizer_history": [{"num_updates": 1}], **more}, path)
    return path


@pytest.fixture(params=["base_style", "large_style"])
def config(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def pretraining(config):
    torch.manual_seed(0)
    return Wav2Vec2ForPreTraining(config).eval()


def same_model(folder, model):
    loaded = type(model).from_pretrained(folder)
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    base, loaded_base = (m if isinstance(m, Wav2Vec2Model) else m.wav2vec2 for m in (model, loaded))
    with torch.no_grad():  # sizes that no shape tells, such as strides and heads, show here
        assert torch.equal(base(X).last_hidden_state, loaded_base(X).last_hidden_state)


def test_a_pretrained_model_of_fairseq(pretraining, tmp_path):
    file = fairseq_file(tmp_path / "small.pt", pretraining)
    result = invoke("convert", file, tmp_path / "here")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{tmp_path / 'here'}: Wav2Vec2ForPreTraining, ")
    same_model(tmp_path / "here", pretraining)


def test_of_equal_widths_fairseq_has_no_projection(base_style, tmp_path):
    torch.manual_seed(0)
    model = Wav2Vec2Model(replace(base_style, conv_dim=(16, 24, base_style.hidden_size)))
    torch.nn.init.eye_(model.feature_projection.projection.weight)
    torch.nn.init.zeros_(model.feature_projection.projection.bias)
    file = fairseq_file(tmp_path / "small.pt", model)
    content = torch.load(file, weights_only=False)
    for key in ("post_extract_proj.weight", "post_extract_proj.bias"):
        del content["model"][key]
    torch.save(content, file)
    assert invoke("convert", file, tmp_path / "here").exit_code == 0
    same_model(tmp_path / "here", model.eval())


LETTERS = ("|", "E", "T", "A")


@pytest.fixture
def recognizer(config):
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(replace(config, vocab_size=len(FAIRSEQ_SPECIAL) + len(LETTERS))).eval()


@pytest.fixture
def other_libraries(monkeypatch):
    """Classes with the names of fairseq's and omegaconf's, for the time in which a file is written."""

    def make(name: str) -> type:
        module, _, own = name.rpartition(".")
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        kind = type(own, (), {"__module__": module})
        setattr(sys.modules[module], own, kind)
        return kind

    for package in ("fairseq", "fairseq.data", "omegaconf"):
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    return make


def test_a_finetuned_model_of_fairseq_with_its_dictionary(recognizer, tmp_path, other_libraries):
    dictionary = other_libraries("fairseq.data.dictionary.Dictionary")()
    dictionary.symbols = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS]
    file = fairseq_file(
        tmp_path / "small_960h.pt", recognizer, "w2v_encoder.w2v_model.", task_state={"target_dictionary": dictionary}
    )
    assert invoke("convert", file, tmp_path / "here").exit_code == 0
    same_model(tmp_path / "here", recognizer)
    assert Vocabulary.load(tmp_path / "here" / "vocab.json").tokens == ("<pad>", "<s>", "</s>", "<unk>", *LETTERS)


def test_its_settings_may_be_omegaconfs(recognizer, tmp_path, other_libraries):
    """One head and the other order of norms, which no shape shows, come from nested, typed settings."""
    container, node = other_libraries("omegaconf.dictconfig.DictConfig"), other_libraries("omegaconf.nodes.AnyNode")

    def wrapped(value):
        made = container() if isinstance(value, dict) else node()
        if isinstance(value, dict):
            made._content = {name: wrapped(entry) for name, entry in value.items()}
        else:
            made._val = value
        return made

    odd = replace(recognizer.config, num_attention_heads=1, do_stable_layer_norm=True, feat_extract_norm="layer")
    model = Wav2Vec2ForCTC(odd).eval()
    file = fairseq_file(tmp_path / "new.pt", model, "w2v_encoder.w2v_model.")
    content = torch.load(file, weights_only=False)
    content["cfg"] = wrapped({"model": {"w2v_args": {"model": vars(content.pop("args"))}}})
    torch.save(content, file)
    (tmp_path / "dict.ltr.txt").write_text("".join(f"{letter} 1\n" for letter in LETTERS))
    result = invoke("convert", file, tmp_path / "here", "--dictionary", tmp_path / "dict.ltr.txt")
    assert result.exit_code == 0, result.stderr
    same_model(tmp_path / "here", model)


def test_without_letters_a_recognizer_is_not_converted(recognizer, tmp_path):
    file = fairseq_file(tmp_path / "small.pt", recognizer, "w2v_encoder.w2v_model.")
    result = invoke("convert", file, tmp_path / "here")
    assert result.exit_code == 1
    assert result.stderr == f"{file} does not tell its letters: give fairseq's dict.ltr.txt with --dictionary.\n"
    (tmp_path / "dict.ltr.txt").write_text("| 1\nE 1\n")
    result = invoke("convert", file, tmp_path / "here", "--dictionary", tmp_path / "dict.ltr.txt")
    assert result.stderr.endswith(f"dict.ltr.txt has 6 tokens; the head of {file} has 8.\n")
    assert not (tmp_path / "here").exists()


def torchaudio_file(path, model):
    """A state dict as torchaudio's `wav2vec2_model` has it: no vector for masked frames, no settings."""
    names = {key: renamed(key.removeprefix("wav2vec2."), TO_TORCHAUDIO) for key in model.state_dict()}
    weights = {names[key]: tensor for key, tensor in model.state_dict().items() if "masked_spec_embed" not in key}
    torch.save(weights, path)
    return path


def test_a_recognizer_of_torchaudio(base_style, tmp_path):
    torch.manual_seed(0)
    shape = replace(
        base_style,
        conv_dim=(16,) * 7,
        conv_kernel=(10, 3, 3, 3, 3, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2),
        hidden_size=128,
        num_attention_heads=2,
        vocab_size=len(TORCHAUDIO_TOKENS),
    )
    model = Wav2Vec2ForCTC(shape).eval()
    file = torchaudio_file(tmp_path / "asr.pth", model)
    keys = torch.load(file, weights_only=True).keys()
    assert {"encoder.transformer.layers.0.attention.k_proj.weight", "encoder.feature_projection.projection.bias",
            "feature_extractor.conv_layers.6.conv.weight", "aux.bias", "encoder.transformer.layer_norm.bias",
            "encoder.transformer.pos_conv_embed.conv.parametrizations.weight.original1"} <= keys  # fmt: skip
    assert invoke("convert", file, tmp_path / "here").exit_code == 0
    loaded = Wav2Vec2ForCTC.from_pretrained(tmp_path / "here")
    with torch.no_grad():
        assert torch.equal(model(X).logits, loaded(X).logits)
    assert Vocabulary.load(tmp_path / "here" / "vocab.json").encode("tea")


class Hostile:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_hostile_file_is_refused_and_nothing_executed(pretraining, tmp_path):
    file = fairseq_file(tmp_path / "bad.pt", pretraining, task_state=Hostile(tmp_path / "harm"))
    result = invoke("convert", file, tmp_path / "here")
    assert result.exit_code == 1
    assert re.fullmatch(
        rf"{re.escape(str(file))} is refused: it asks for \w+\.mkdir, which no weights need\. "
        r"Nothing of it has been executed\.\n",
        result.stderr,
    )
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "here").exists()
    torch.load(file, weights_only=False)
    assert (tmp_path / "harm").exists(), "the file is as hostile as it should be"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file(pretraining, tmp_path, share):
    file = fairseq_file(tmp_path / "cut.pt", pretraining)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"cut\.pt cannot be read: it is truncated, or no file of torch's"):
        convert(file)


def test_names_that_are_missing_or_unknown_are_named(pretraining, tmp_path):
    file = fairseq_file(tmp_path / "small.pt", pretraining)
    whole = torch.load(file, weights_only=False)

    def converted(**change):
        torch.save({**whole, "model": {k: v for k, v in {**whole["model"], **change}.items() if v is not None}}, file)
        return invoke("convert", file, tmp_path / "here").stderr

    assert converted(**{"encoder.layers.1.fc2.bias": None}) == (
        f"{file} lacks wav2vec2.encoder.layers.1.feed_forward.output_dense.bias.\n"
    )
    assert converted(extra=torch.zeros(3)) == f"{file} has wav2vec2.extra, which this model does not know.\n"
    gone = dict.fromkeys(key for key in whole["model"] if key.startswith("encoder.layers."))
    assert converted(**gone) == f"{file} is no wav2vec 2.0 of fairseq or torchaudio: it lacks 'encoder.layers'.\n"


@pytest.mark.parametrize("content", [[1, 2], {"state": {"a": 1}}, {"model": {"a": "b"}}])
def test_other_files_of_torch(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt (holds|is no wav2vec)"):
        convert(tmp_path / "other.pt")
