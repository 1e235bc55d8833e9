"""Context network g: Z → C, a Transformer over the latent frames (arXiv 2006.11477, Sections 2 and 4.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.feature_encoder import ACTIVATIONS


class FeatureProjection(nn.Module):
    """Layer norm over the channels of z, then a linear map to the Transformer's width."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) → projected (B, T, D), and normalized (B, T, C), which the quantizer takes."""
        z = self.layer_norm(z)
        return self.dropout(self.projection(z)), z


class ConvPositionalEmbedding(nn.Module):
    """A grouped convolution over time whose output is added to its input: position told by the neighborhood.

    It stands where other Transformers have sinusoids or learned vectors; it is relative and knows no longest utterance.
    A frame looks half a kernel to each side, or, with `causal`, a whole one back.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        kernel, width = config.num_conv_pos_embeddings, config.hidden_size
        padding = kernel - 1 if config.causal else kernel // 2  # at both ends; what is too much is cut off on the right
        conv = nn.Conv1d(width, width, kernel, padding=padding, groups=config.num_conv_pos_embedding_groups)
        nn.init.normal_(conv.weight, std=(4 / (kernel * width)) ** 0.5)
        assert conv.bias is not None  # a convolution has one unless told otherwise
        nn.init.zeros_(conv.bias)
        self.conv = weight_norm(conv, dim=2)  # one length g for each of the kernel's positions
        self.activation = ACTIVATIONS[config.feat_extract_activation]()

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D) → (B, T, D)
        frames = x.shape[1]
        x = self.conv(x.transpose(1, 2))[:, :, :frames]  # (B, D, T): without what the padding makes too many
        return self.activation(x).transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention: softmax(q kᵀ / √(D/H)) v (arXiv 1706.03762, equation 1)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.causal = config.causal
        self.dropout = config.attention_dropout
        self.q_proj = _linear(config, config.hidden_size, config.hidden_size)
        self.k_proj = _linear(config, config.hidden_size, config.hidden_size)
        self.v_proj = _linear(config, config.hidden_size, config.hidden_size)
        self.out_proj = _linear(config, config.hidden_size, config.hidden_size)

    def forward(
        self, x: Tensor, frame_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) → (B, T, D), and the attention weights (B, H, T, T) where they are asked for.

        `frame_mask` (B, T) is True for real frames; no frame attends to the others. With `causal`, none attends to a
        later one either.
        """
        q, k, v = (self._split(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))  # (B, H, T, D/H)
        keys = None if frame_mask is None else frame_mask[:, None, None, :]  # (B, 1, 1, T)
        if self.causal:
            past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()  # (T, T), query by key
            keys = past if keys is None else keys & past  # (B, 1, T, T)
        dropout = self.dropout if self.training else 0.0
        attention = None
        if output_attentions:
            scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5  # (B, H, T, T)
            if keys is not None:
                scores = scores.masked_fill(~keys, float("-inf"))
            attention = scores.softmax(dim=3)
            heads = F.dropout(attention, dropout) @ v  # (B, H, T, D/H)
        else:  # the same numbers, without ever holding the (T, T) weights
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=keys, dropout_p=dropout)
        return self.out_proj(heads.transpose(1, 2).flatten(2)), attention

    def _split(self, x: Tensor) -> Tensor:  # (B, T, D) → (B, H, T, D/H)
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with GELU between them, applied to each frame alone."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.intermediate_dense = _linear(config, config.hidden_size, config.intermediate_size)
        self.intermediate_dropout = nn.Dropout(config.activation_dropout)
        self.output_dense = _linear(config, config.intermediate_size, config.hidden_size)
        self.output_dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D) → (B, T, D)
        x = self.intermediate_dropout(F.gelu(self.intermediate_dense(x)))  # (B, T, F)
        return self.output_dropout(self.output_dense(x))


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual; layer norm after each (BASE) or before each (LARGE)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.pre_norm = config.do_stable_layer_norm
        self.attention = SelfAttention(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self, x: Tensor, frame_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) → (B, T, D), and the attention weights (B, H, T, T) where they are asked for."""
        if self.pre_norm:
            heads, attention = self.attention(self.layer_norm(x), frame_mask, output_attentions)
            x = x + self.dropout(heads)
            x = x + self.feed_forward(self.final_layer_norm(x))
        else:
            heads, attention = self.attention(x, frame_mask, output_attentions)
            x = self.layer_norm(x + self.dropout(heads))
            x = self.final_layer_norm(x + self.feed_forward(x))
        return x, attention


class ContextOutput(NamedTuple):
    """What the context network returns."""

    last_hidden_state: Tensor  # c (B, T, D)
    hidden_states: list[Tensor]  # if asked for: the Transformer's input, then each layer's output, each (B, T, D)
    attentions: list[Tensor]  # if asked for: one (B, H, T, T) per layer


class ContextNetwork(nn.Module):
    """Positional embedding, then the Transformer layers."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.pre_norm = config.do_stable_layer_norm
        self.layerdrop = config.layerdrop
        self.pos_conv_embed = ConvPositionalEmbedding(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self,
        x: Tensor,
        frame_mask: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> ContextOutput:
        """(B, T, D) → context c (B, T, D). `frame_mask` (B, T) is True for real frames, False for padding."""
        if frame_mask is not None:  # the positional convolution looks across the utterance's end
            x = x.masked_fill(~frame_mask[:, :, None], 0)
        x = x + self.pos_conv_embed(x)
        x = self.dropout(x if self.pre_norm else self.layer_norm(x))
        hidden_states, attentions = [x], []
        for layer in self.layers:
            if self.training and torch.rand(()) < self.layerdrop:
                continue
            x, attention = layer(x, frame_mask, output_attentions)
            hidden_states.append(x)
            attentions.append(attention)
        if self.pre_norm:  # what pre-norm layers add up is normalized once, at the end
            x = self.layer_norm(x)
        return ContextOutput(x, hidden_states if output_hidden_states else [], attentions if output_attentions else [])


def _linear(config: Wav2Vec2Config, inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=config.initializer_range)
    nn.init.zeros_(linear.bias)
    return linear
