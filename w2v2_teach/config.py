"""The configuration of a wav2vec 2.0 model, in one frozen dataclass, and five presets.

Field names are Hugging Face's, so that a published `config.json` can be read. Numbers are the paper's
(arXiv 2006.11477, Sections 2 and 4.2) where the paper gives them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import torch

from w2v2_teach.errors import CourseError

SAMPLE_RATE = 16_000  # Hz, of every waveform that a model takes

Lengths = TypeVar("Lengths", int, torch.Tensor)

# Features of other configurations that this model does not have, with the one value that means "off".
UNSUPPORTED = {
    "add_adapter": False,
    "adapter_attn_dim": None,
    "hidden_act": "gelu",
    "conv_pos_batch_norm": False,
    "is_encoder_decoder": False,
}


class ConfigError(CourseError, ValueError):
    """A field of a configuration has a value that is not allowed or not supported."""


@dataclass(frozen=True)
class Wav2Vec2Config:
    """The sizes of a model, its pre-training task and its heads. The defaults are BASE's.

    Raises:
        ConfigError: a value that is not allowed; the message names the field, the value and what is allowed.
    """

    # Feature encoder f: X → Z (Section 2)
    conv_dim: tuple[int, ...] = (512,) * 7  # channels of each convolution; C is the last
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)  # kernel width of each, in steps of its input
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)  # stride of each, in steps of its input
    conv_bias: bool = False  # do the convolutions have a bias?
    feat_extract_norm: str = "group"  # "group": layer 0 only, over time; "layer": every layer, over channels
    feat_extract_activation: str = "gelu"  # "gelu" (erf), or "relu" as in NOTES
    conv_gate: bool = False  # NOTES: group norm, tied gate, residual, dropout and layer norm in every block
    conv_dropout: float = 0.0  # dropout inside a gated block

    # Context network g: Z → C (Section 2)
    hidden_size: int = 768  # D, width of the Transformer
    num_hidden_layers: int = 12  # Transformer blocks
    num_attention_heads: int = 12  # H (the paper says 8 for BASE; its code and checkpoints have 12)
    intermediate_size: int = 3072  # inner width of the feed-forward networks
    num_conv_pos_embeddings: int = 128  # kernel width of the positional convolution, in frames
    num_conv_pos_embedding_groups: int = 16  # its groups
    do_stable_layer_norm: bool = False  # False: post-norm (BASE); True: pre-norm (LARGE)
    causal: bool = False  # True: no frame sees later ones, as next-step and next-token prediction need
    layer_norm_eps: float = 1e-5  # ε of the layer norms outside the encoder's convolutions
    initializer_range: float = 0.02  # standard deviation of the linear layers' first weights
    feat_proj_dropout: float = 0.1  # after the projection Z → D
    hidden_dropout: float = 0.1  # after attention, feed-forward and positional embedding
    attention_dropout: float = 0.1  # on attention weights
    activation_dropout: float = 0.0  # inside the feed-forward networks
    layerdrop: float = 0.05  # probability that training skips a whole block

    # Masking (Section 3.1)
    mask_time_prob: float = 0.65  # p·M: the share of frames that spans would cover if none overlapped
    mask_time_length: int = 10  # M, frames in a span
    mask_time_min_masks: int = 2  # fewest spans in an utterance

    # Quantization and objective (Sections 2 and 3.2)
    num_codevector_groups: int = 2  # G, codebooks
    num_codevectors_per_group: int = 320  # V, entries in each
    codevector_dim: int = 256  # width of the joined code vectors
    proj_codevector_dim: int = 256  # width in which context and target are compared
    feat_quantizer_dropout: float = 0.1  # on the quantizer's input
    num_negatives: int = 100  # K, distractors
    contrastive_logits_temperature: float = 0.1  # κ
    diversity_loss_weight: float = 0.1  # α
    quantize_inputs: bool = False  # True: the context network reads code vectors (Table 4)
    quantize_targets: bool = True  # False: the target is the latent frame itself (Table 4)
    prediction_steps: tuple[int, ...] = tuple(range(1, 13))  # k, how many frames ahead next-step prediction predicts

    # Heads, each read by one of the models in `heads`
    final_dropout: float = 0.1  # on the context, before the CTC head
    vocab_size: int = 32  # V, tokens of the CTC head, blank included
    ctc_temperature: float = 1.0  # that the logits are divided by for confidences; fitted on dev speakers
    labels: tuple[str, ...] = ()  # names of the classes of a classification head
    use_weighted_layer_sum: bool = False  # classify a learned weighted sum of all layers, not the last one
    classifier_proj_size: int = 256  # width of the classifier's projection
    speaker_embedding_dim: int = 512  # E, width of a speaker embedding

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list):  # as JSON has it
                object.__setattr__(self, field.name, tuple(value))
        _check_each(self)
        _check_together(self)

    def frame_lengths(self, samples: Lengths) -> Lengths:
        """How many frames T the encoder makes of `samples` (an int, or a tensor of them): (L - k) // s + 1 a layer."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples.clamp(min=0) if isinstance(samples, torch.Tensor) else max(samples, 0)

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`; transformers reads it, or refuses it by its `model_type`."""
        varied = self.causal or self.quantize_inputs or not self.quantize_targets
        model_type = "w2v2_teach_notes" if self.conv_gate else "w2v2_teach_variant" if varied else "wav2vec2"
        values = {"model_type": model_type, **asdict(self)}
        labels = values.pop("labels")
        if labels:  # transformers' names for them
            values["id2label"] = {str(i): label for i, label in enumerate(labels)}
            values["label2id"] = {label: i for i, label in enumerate(labels)}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Wav2Vec2Config:
        """The configuration in a `config.json`. Fields that this model does not use are ignored.

        Raises:
            ConfigError: another kind of model, or a setting that this model does not support.
        """
        model_type = values.get("model_type")
        if model_type not in ("wav2vec2", "w2v2_teach_notes", "w2v2_teach_variant"):
            raise ConfigError(f"model_type is {model_type!r}; only 'wav2vec2' can be loaded.")
        for name, off in UNSUPPORTED.items():
            if values.get(name, off) != off:
                raise ConfigError(f"{name} is {values[name]!r}; this model supports only {name}={off!r}.")
        own = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        names = values.get("id2label") or {}  # "0" → first label
        try:
            labels = tuple(names[str(i)] for i in range(len(names)))
        except (KeyError, TypeError) as error:
            raise ConfigError(f'id2label is {names!r}; it must give a label to each of "0", "1", …') from error
        return cls(**own, labels=labels)


PROBABILITIES = """conv_dropout feat_proj_dropout hidden_dropout attention_dropout activation_dropout layerdrop
    mask_time_prob feat_quantizer_dropout final_dropout""".split()
MAY_BE_ZERO = ("mask_time_min_masks", "diversity_loss_weight")  # all other numbers must be positive


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_tuple_of(allows: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, tuple) and all(allows(entry) for entry in value)


def _require(config: Wav2Vec2Config, name: str, allowed: bool, rule: str) -> None:
    if not allowed:
        raise ConfigError(f"{name} is {getattr(config, name)!r}; it must be {rule}.")


def _check_each(config: Wav2Vec2Config) -> None:
    """Check each field alone; its default shows which type it must have."""
    for field in fields(config):
        name, default, value = field.name, field.default, getattr(config, field.name)
        has_type, kind = (_is_whole, "whole number") if isinstance(default, int) else (_is_number, "number")
        if isinstance(default, bool):
            allowed, rule = isinstance(value, bool), "True or False"
        elif isinstance(default, str):
            allowed, rule = isinstance(value, str), "a string"
        elif name == "labels":
            allowed, rule = _is_tuple_of(lambda n: isinstance(n, str), value), "a tuple of strings"
        elif isinstance(default, tuple):
            allowed, rule = _is_tuple_of(lambda n: _is_whole(n) and n > 0, value), "a tuple of positive whole numbers"
        elif name in PROBABILITIES:
            allowed, rule = has_type(value) and 0 <= value <= 1, "between 0 and 1"
        elif name in MAY_BE_ZERO:
            allowed, rule = has_type(value) and value >= 0, f"zero or a positive {kind}"
        else:
            allowed, rule = has_type(value) and value > 0, f"a positive {kind}"
        _require(config, name, allowed, rule)


def _check_together(config: Wav2Vec2Config) -> None:
    """Check choices of strings, and fields that depend on each other."""
    require = partial(_require, config)
    layers = len(config.conv_dim)
    require("conv_dim", layers > 0, "a tuple with one entry per convolution, at least one")
    for name in ("conv_kernel", "conv_stride"):
        require(name, len(getattr(config, name)) == layers, f"a tuple of {layers} entries, as many as conv_dim has")
    require("conv_dim", not config.conv_gate or len(set(config.conv_dim)) == 1, "of one width where conv_gate is on")
    require("feat_extract_norm", config.feat_extract_norm in ("group", "layer"), "'group' or 'layer'")
    # Group norm's mean and variance run over the whole utterance, the future included; the gated encoder has it, too.
    per_frame = config.feat_extract_norm == "layer" and not config.conv_gate
    require("feat_extract_norm", per_frame or not config.causal, "'layer', without conv_gate, where causal is on")
    require("prediction_steps", len(config.prediction_steps) > 0, "a tuple of at least one number of frames")
    require("feat_extract_activation", config.feat_extract_activation in ("gelu", "relu"), "'gelu' or 'relu'")
    for name, divisor in (
        ("hidden_size", "num_attention_heads"),
        ("hidden_size", "num_conv_pos_embedding_groups"),
        ("codevector_dim", "num_codevector_groups"),
    ):
        number = getattr(config, divisor)
        require(name, getattr(config, name) % number == 0, f"a multiple of {divisor}={number}")


BASE = Wav2Vec2Config()

# LARGE as trained on LV-60k: layer norm in every convolution, pre-norm Transformer, no layer drop.
LARGE = Wav2Vec2Config(
    conv_bias=True,
    feat_extract_norm="layer",
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    do_stable_layer_norm=True,
    layerdrop=0.0,
    codevector_dim=768,
    proj_codevector_dim=768,
)

# TINY has BASE's geometry (25 ms windows, every 20 ms) and trains on two CPU cores. Its channels grow as its frames get
# fewer, so that every convolution but the first costs about the same. Layer norm keeps padding out of the frames; the
# bias preserves loudness, which a layer norm after a convolution without bias would divide out. Spans of 5 frames,
# 0.1 s, mask about one phone; with BASE's 10, a network of this size learns far more slowly. For the same reason there
# is little dropout.
TINY = Wav2Vec2Config(
    conv_dim=(32, 48, 64, 96, 128, 128, 128),
    conv_bias=True,
    feat_extract_norm="layer",
    hidden_size=160,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=640,
    num_conv_pos_embeddings=32,
    feat_proj_dropout=0.0,
    hidden_dropout=0.05,
    attention_dropout=0.0,
    layerdrop=0.0,
    mask_time_length=5,
    num_codevectors_per_group=64,
    codevector_dim=128,
    proj_codevector_dim=128,
    feat_quantizer_dropout=0.0,
    num_negatives=50,
)

# MICRO trains live in a notebook: its contrastive loss leaves the plateau within seconds.
MICRO = replace(
    TINY,
    conv_dim=(32,) * 7,
    hidden_size=64,
    hidden_dropout=0.0,
    num_hidden_layers=2,
    intermediate_size=256,
    num_codevectors_per_group=32,
    codevector_dim=64,
    proj_codevector_dim=64,
    num_negatives=100,
)

# NOTES is the encoder that the lecture notes describe, with TINY's Transformer.
NOTES = replace(
    TINY,
    conv_dim=(32,) * 10,
    conv_kernel=(2,) * 5 + (3,) * 5,
    conv_stride=(2,) * 5 + (1,) * 5,
    feat_extract_norm="group",
    feat_extract_activation="relu",
    conv_gate=True,
    conv_dropout=0.1,
)

PRESETS = {"base": BASE, "large": LARGE, "tiny": TINY, "micro": MICRO, "notes": NOTES}
