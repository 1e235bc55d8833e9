"""The reference beside ours: transformers' model with the same weights, and how far they are apart, stage by stage."""

import torch
import transformers
from torch import Tensor

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.model import Wav2Vec2Model


def transformers_config(config: Wav2Vec2Config) -> transformers.Wav2Vec2Config:
    """The same configuration as transformers' class.

    Raises:
        ValueError: the gated NOTES encoder, which transformers does not have.
    """
    if config.conv_gate:
        raise ValueError("transformers has no gated encoder: NOTES has no reference to compare with.")
    return transformers.Wav2Vec2Config(**config.to_dict())


def to_transformers(model: Wav2Vec2Model) -> transformers.Wav2Vec2Model:
    """transformers' model with a copy of `model`'s weights; every key must find its place."""
    hf_model = transformers.Wav2Vec2Model(transformers_config(model.config))
    hf_model.load_state_dict(model.state_dict(), strict=True)
    hf_model.set_attn_implementation("eager")  # the only one that returns attention weights
    return hf_model.train(model.training)


@torch.no_grad()
def stage_differences(
    ours: Wav2Vec2Model, theirs: transformers.Wav2Vec2Model, input_values: Tensor, attention_mask: Tensor | None = None
) -> dict[str, float]:
    """Largest absolute difference of each stage's output, from convolutions to context, on one batch (B, L)."""
    z = ours.feature_extractor(input_values), theirs.feature_extractor(input_values).transpose(1, 2)  # (B, T, C)
    x = ours.feature_projection(z[0])[0], theirs.feature_projection(z[1])[0]  # (B, T, D)
    a = ours(input_values, attention_mask, output_attentions=True, output_hidden_states=True)
    b = theirs(input_values, attention_mask, output_attentions=True, output_hidden_states=True)
    fast = ours(input_values, attention_mask)
    pairs = {
        "conv features": z,
        "normalized features": (a.extract_features, b.extract_features),
        "projection": x,
        **{f"hidden state {i}": pair for i, pair in enumerate(zip(a.hidden_states, b.hidden_states, strict=True))},
        **{f"attention {i + 1}": pair for i, pair in enumerate(zip(a.attentions, b.attentions, strict=True))},
        "context": (a.last_hidden_state, b.last_hidden_state),
        "context, fused attention": (fast.last_hidden_state, b.last_hidden_state),
    }
    return {stage: (u - v).abs().max().item() for stage, (u, v) in pairs.items()}
