"""Checkpoints in fairseq's and torchaudio's formats: weights under Hugging Face's names, and the configuration."""

import argparse
import ast
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from w2v2_teach.checkpoints import BASE_PREFIX, CheckpointError, current_name
from w2v2_teach.config import BASE, Wav2Vec2Config

# How a name begins in their format → how it begins in ours; the first that fits counts. Heads have names of their own,
# and everything else belongs to the base model.
Rules = Mapping[str, str]
FAIRSEQ: Rules = {
    r"mask_emb$": "masked_spec_embed",
    r"feature_extractor\.conv_layers\.(\d+)\.0\.": r"feature_extractor.conv_layers.\1.conv.",
    r"feature_extractor\.conv_layers\.(\d+)\.2\.(1\.)?": r"feature_extractor.conv_layers.\1.layer_norm.",
    r"layer_norm\.": "feature_projection.layer_norm.",
    r"post_extract_proj\.": "feature_projection.projection.",
    r"encoder\.pos_conv\.0\.": "encoder.pos_conv_embed.conv.",
    r"encoder\.layers\.(\d+)\.self_attn\.": r"encoder.layers.\1.attention.",
    r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.": r"encoder.layers.\1.layer_norm.",
    r"encoder\.layers\.(\d+)\.fc1\.": r"encoder.layers.\1.feed_forward.intermediate_dense.",
    r"encoder\.layers\.(\d+)\.fc2\.": r"encoder.layers.\1.feed_forward.output_dense.",
}
FAIRSEQ_HEADS: Rules = {
    r"quantizer\.vars$": "quantizer.codevectors",
    r"quantizer\.weight_proj\.": "quantizer.weight_proj.",
    r"final_proj\.": "project_hid.",
    r"project_q\.": "project_q.",
    r"w2v_encoder\.proj\.": "lm_head.",
}
FAIRSEQ_PREFIX = "w2v_encoder.w2v_model."  # of the base model, once it has been fine-tuned
TORCHAUDIO: Rules = {
    r"encoder\.feature_projection\.": "feature_projection.",
    r"encoder\.transformer\.": "encoder.",
}
TORCHAUDIO_HEADS: Rules = {r"aux\.": "lm_head."}

FAIRSEQ_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")  # ids 0 to 3; fairseq calls the first <s>, and it is CTC's blank
TORCHAUDIO_TOKENS = ("<pad>", *"|ETAONIHSRDLUMWCFGYPBVK'XJQZ")  # of its English models
HEAD_WIDTH = 64  # of an attention head, in every published model


class Inert:
    """What stands for an object of another library in a fairseq file: it holds the object's data, and does nothing."""


OF_OTHERS = (  # the classes that published fairseq files name beside tensors; any other is refused
    "fairseq.data.dictionary.Dictionary",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
)


class Converted(NamedTuple):
    """A checkpoint as ours would be."""

    architecture: str  # the class of the model
    config: Wav2Vec2Config
    weights: dict[str, Tensor]  # by our names
    tokens: tuple[str, ...]  # of a recognizer, in the order of their ids, where the file or its format tells them


def convert(path: str | Path) -> Converted:
    """Read a checkpoint file of fairseq or torchaudio; which of the two, its names tell.

    Widths, layers and norms follow from the weights' shapes. What no shape tells is taken from the file's own settings
    where it has them (fairseq), else as in all published models: strides as in BASE, attention heads of width 64, and
    pre-norm Transformers behind encoders with layer norm.

    Raises:
        CheckpointError: no such file; truncated; more than weights and settings (nothing of it has been executed); a
            name that neither format has, or one that is missing.
        ConfigError: sizes that make no model.
    """
    path = Path(path)
    content = _read(path)
    is_fairseq = isinstance(content.get("model"), dict)
    theirs = content["model"] if is_fairseq else content
    rules, heads = (FAIRSEQ, FAIRSEQ_HEADS) if is_fairseq else (TORCHAUDIO, TORCHAUDIO_HEADS)
    weights = {_our_name(key, rules, heads): tensor for key, tensor in theirs.items()}
    if not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise CheckpointError(f"{path} holds more than weights, and is of neither fairseq's nor torchaudio's format.")
    settings = dict(_settings(content)) if is_fairseq else {}
    try:
        config = _config(weights, settings)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is no wav2vec 2.0 of fairseq or torchaudio: it lacks {error}.") from error
    _add_projection(weights, config)
    tokens = _tokens(content, weights, is_fairseq)
    if "quantizer.codevectors" in weights:
        return Converted("Wav2Vec2ForPreTraining", config, weights, tokens)
    if "lm_head.weight" in weights:
        return Converted("Wav2Vec2ForCTC", config, weights, tokens)
    return Converted("Wav2Vec2Model", config, {k.removeprefix(BASE_PREFIX): w for k, w in weights.items()}, tokens)


def _read(path: Path) -> dict[str, Any]:
    """The file's content: tensors, plain values, and inert objects."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file.")
    allowed: list[Any] = [argparse.Namespace, *((Inert, name) for name in OF_OTHERS)]
    try:
        with safe_globals(allowed):
            content = torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is refused: {_why(path)} Nothing of it has been executed.") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: it is truncated, or no file of torch's.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not weights by name.")
    return content


def _why(path: Path) -> str:
    try:
        names = sorted(set(get_unsafe_globals_in_checkpoint(path)) - set(OF_OTHERS) - {"argparse.Namespace"})
    except (pickle.UnpicklingError, RuntimeError, ValueError):  # a pickle of the old kind, which torch does not list
        names = []
    return f"it asks for {', '.join(names)}, which no weights need." if names else "it holds more than weights."


def _our_name(key: str, rules: Rules, heads: Rules) -> str:
    for theirs, ours in heads.items():
        if re.match(theirs, key):
            return re.sub(f"^{theirs}", ours, key)
    key = key.removeprefix(FAIRSEQ_PREFIX)
    for theirs, ours in rules.items():
        if re.match(theirs, key):
            key = re.sub(f"^{theirs}", ours, key)
            break
    return BASE_PREFIX + current_name(key)


def _settings(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every named value in a fairseq file's `args` and `cfg`; a fine-tuned model's hold those of its pre-training."""

    def walk(value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, (argparse.Namespace, Inert)):
            value = vars(value).get("_content", vars(value))
        if isinstance(value, Mapping):
            for name, entry in value.items():
                yield name, vars(entry).get("_val") if isinstance(entry, Inert) else entry
                yield from walk(entry)

    for part in ("args", "cfg"):
        yield from walk(content.get(part))


def _config(weights: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Wav2Vec2Config:
    """What the shapes tell, and the settings; raises KeyError with the name of a weight that is missing."""
    base = {key.removeprefix(BASE_PREFIX): w.shape for key, w in weights.items() if key.startswith(BASE_PREFIX)}
    layers = _count(base, "feature_extractor.conv_layers")
    convolutions = [base[f"feature_extractor.conv_layers.{i}.conv.weight"] for i in range(layers)]  # (C, C_in, k) each
    width, per_group, positions = base["encoder.pos_conv_embed.conv.parametrizations.weight.original1"]
    per_frame = "feature_extractor.conv_layers.1.layer_norm.weight" in base
    sizes: dict[str, Any] = {
        "conv_dim": tuple(shape[0] for shape in convolutions),
        "conv_kernel": tuple(shape[2] for shape in convolutions),
        "conv_stride": _strides(settings.get("conv_feature_layers"), layers),
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in base,
        "feat_extract_norm": "layer" if per_frame else "group",
        "hidden_size": width,
        "num_hidden_layers": _count(base, "encoder.layers"),
        "num_attention_heads": settings.get("encoder_attention_heads", max(1, width // HEAD_WIDTH)),
        "intermediate_size": base["encoder.layers.0.feed_forward.intermediate_dense.weight"][0],
        "num_conv_pos_embeddings": positions,
        "num_conv_pos_embedding_groups": width // per_group,
        "do_stable_layer_norm": settings.get("layer_norm_first", per_frame),
    }
    if "quantizer.codevectors" in weights:
        _, entries, narrow = weights["quantizer.codevectors"].shape  # (1, G·V, d/G)
        d = weights["project_q.weight"].shape[1]
        sizes |= {"num_codevector_groups": d // narrow, "num_codevectors_per_group": entries * narrow // d}
        sizes |= {"codevector_dim": d, "proj_codevector_dim": weights["project_q.weight"].shape[0]}
    if "lm_head.weight" in weights:
        sizes["vocab_size"] = len(weights["lm_head.weight"])
    return Wav2Vec2Config(**sizes)


def _count(names: Mapping[str, Any], stack: str) -> int:
    """How many layers a stack has; raises KeyError where it has none."""
    numbers = [int(found[1]) for name in names if (found := re.match(rf"{re.escape(stack)}\.(\d+)\.", name))]
    if not numbers:
        raise KeyError(stack)
    return max(numbers) + 1


def _strides(written: str | None, layers: int) -> tuple[int, ...]:
    """The third number of each layer in fairseq's notation, such as "[(512, 10, 5)] + [(512, 3, 2)] * 4"."""
    if written is None:
        return BASE.conv_stride[:layers]

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return value(node.left) + value(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return value(node.left) * value(node.right)
        return ast.literal_eval(node)

    return tuple(stride for _, _, stride in value(ast.parse(written.strip(), mode="eval").body))


def _add_projection(weights: dict[str, Tensor], config: Wav2Vec2Config) -> None:
    """fairseq leaves the projection out where it would keep the width: then it changes nothing."""
    name = f"{BASE_PREFIX}feature_projection.projection."
    if f"{name}weight" not in weights and config.conv_dim[-1] == config.hidden_size:
        weights |= {f"{name}weight": torch.eye(config.hidden_size), f"{name}bias": torch.zeros(config.hidden_size)}


def _tokens(content: Mapping[str, Any], weights: Mapping[str, Tensor], is_fairseq: bool) -> tuple[str, ...]:
    if "lm_head.weight" not in weights:
        return ()
    if not is_fairseq:
        return TORCHAUDIO_TOKENS if len(weights["lm_head.weight"]) == len(TORCHAUDIO_TOKENS) else ()
    state = content.get("task_state")
    dictionary = state.get("target_dictionary") if isinstance(state, Mapping) else None
    symbols = vars(dictionary).get("symbols", []) if isinstance(dictionary, Inert) else []
    return (*FAIRSEQ_SPECIAL, *symbols[len(FAIRSEQ_SPECIAL) :]) if symbols else ()
