"""Quantizer Z → Q: each latent frame picks one entry from each of G codebooks (arXiv 2006.11477, Section 2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from w2v2_teach.config import Wav2Vec2Config


def gumbel_noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """n = -log(-log u), u uniform in (0, 1): noise of the shape and device of `like`, in single precision."""
    # -log u follows the exponential distribution, whose sampler never returns the 0 that log cannot take
    return -torch.empty_like(like, dtype=torch.float32).exponential_(generator=generator).log()


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Straight-through Gumbel softmax: a one-hot choice forward, the soft distribution's gradient backward (eq. 1).

    Args:
        logits: (..., V)
        noise: (..., V) from `gumbel_noise`; zeros for no noise.
        temperature: τ > 0; the smaller, the closer the soft distribution is to the choice.

    Returns:
        (..., V) one-hot, with the gradient of softmax((logits + noise) / τ).
    """
    soft = ((logits + noise) / temperature).softmax(dim=-1)  # (..., V)
    hard = one_hot(soft.argmax(dim=-1), soft)  # (..., V)
    return hard - soft.detach() + soft


def one_hot(codes: Tensor, like: Tensor) -> Tensor:
    """(...) integer codes → (..., V) ones and zeros, of the shape and type of `like`."""
    return torch.zeros_like(like).scatter_(-1, codes[..., None], 1.0)


def perplexity(probs: Tensor) -> Tensor:
    """(G, V) average distributions → Σ_g exp(-Σ_v p log p), between G (one entry each) and G·V (all alike)."""
    tiny = torch.finfo(probs.dtype).tiny  # where p is 0, so is p log p; but its gradient asks for log p all the same
    return (-torch.xlogy(probs, probs.clamp(min=tiny)).sum(dim=-1)).exp().sum()


class QuantizerOutput(NamedTuple):
    """What the quantizer returns for N frames."""

    codevectors: Tensor  # (N, d), the chosen entries of the G codebooks, joined
    codes: Tensor  # (N, G) long, which entry was chosen
    code_probs: Tensor  # (G, V), share of the frames that chose each entry
    mean_probs: Tensor  # (G, V), p̄: softmax of the logits without noise and temperature, averaged over the frames


class GumbelVectorQuantizer(nn.Module):
    """Product quantization with learned choices: logits → one entry per codebook → joined code vector."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.num_groups, self.num_vars = config.num_codevector_groups, config.num_codevectors_per_group  # G, V
        width = config.codevector_dim // self.num_groups  # d/G
        self.codevectors = nn.Parameter(torch.rand(1, self.num_groups * self.num_vars, width))  # (1, G·V, d/G)
        self.weight_proj = nn.Linear(config.conv_dim[-1], self.num_groups * self.num_vars)
        nn.init.normal_(self.weight_proj.weight)
        nn.init.zeros_(self.weight_proj.bias)

    def forward(self, z: Tensor, temperature: float = 1.0, noise: Tensor | None = None) -> QuantizerOutput:
        """Quantize latent frames: by a Gumbel softmax in training, by the largest logit in evaluation.

        Args:
            z: (N, C) normalized latent frames.
            temperature: τ, used in training.
            noise: (N, G, V) Gumbel noise to use in training; drawn here if None.
        """
        logits = self.logits(z)  # (N, G, V)
        if self.training:
            noise = gumbel_noise(logits) if noise is None else noise
            choice = gumbel_softmax(logits, noise, temperature)  # (N, G, V)
        else:
            choice = one_hot(logits.argmax(dim=-1), logits)
        codebooks = self.codevectors.view(self.num_groups, self.num_vars, -1)  # (G, V, d/G)
        codevectors = torch.einsum("ngv,gvd->ngd", choice, codebooks).flatten(1)  # (N, d)
        return QuantizerOutput(
            codevectors=codevectors,
            codes=choice.argmax(dim=-1),
            code_probs=choice.detach().mean(dim=0),
            mean_probs=logits.softmax(dim=-1).mean(dim=0),
        )

    def logits(self, z: Tensor) -> Tensor:
        """(..., C) normalized latent frames → (..., G, V), how much each entry of each codebook is called for."""
        return self.weight_proj(z).unflatten(-1, (self.num_groups, self.num_vars)).float()
