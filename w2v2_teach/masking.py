"""Which latent frames the context network does not get to see (arXiv 2006.11477, Section 3.1 and Appendix A)."""

import torch
from torch import Tensor

from w2v2_teach.config import Wav2Vec2Config


def span_mask(
    lengths: Tensor, p: float, M: int, min_spans: int = 2, generator: torch.Generator | None = None
) -> Tensor:
    """Draw spans of M frames for each utterance; spans may overlap, and then join into longer ones.

    A row of T frames gets int(p·T + u) spans, u uniform in [0, 1), at least `min_spans`. Their starts are drawn
    without replacement among the T - M + 1 frames from which a whole span fits; where there are fewer of those, all
    are taken. So a row of T < M frames is left unmasked, and one of T = M frames is masked whole.

    Args:
        lengths: (B,) frames of each utterance, T; the mask is made on their device.
        p: expected share of frames that start a span.
        M: frames in a span.
        min_spans: spans in each row at least.
        generator: source of the random numbers, on the same device; the same state gives the same mask.

    Returns:
        (B, T) bool, T the longest length; True for masked frames, never for padding.

    Raises:
        ValueError: p outside [0, 1], M below 1 or min_spans below 0.
    """
    if not 0 <= p <= 1 or M < 1 or min_spans < 0:
        raise ValueError(f"p={p} must lie in [0, 1], M={M} must be 1 or more, min_spans={min_spans} 0 or more")
    batch, frames, device = len(lengths), int(lengths.max()), lengths.device
    u = torch.rand(batch, generator=generator, device=device)  # (B,)
    spans = (p * lengths + u).long().clamp(min=min_spans)  # (B,)

    # Without replacement: give each frame a random number, and let the smallest of its row be the starts.
    numbers = torch.rand(batch, frames, generator=generator, device=device)  # (B, T)
    fits = torch.arange(frames, device=device) <= (lengths - M)[:, None]  # (B, T), a whole span fits from here
    numbers = numbers.masked_fill(~fits, 2.0)  # after all others
    rank = numbers.argsort(dim=1).argsort(dim=1)  # (B, T), 0 for the smallest number of the row
    starts = fits & (rank < spans[:, None])  # (B, T)

    # A frame is masked if one of the M frames that end with it starts a span.
    started = starts.cumsum(dim=1)  # (B, T), spans that have started so far
    ended = torch.nn.functional.pad(started, (M, 0))[:, :frames]  # (B, T), spans that have ended before this frame
    return started > ended


def time_mask(lengths: Tensor, config: Wav2Vec2Config, generator: torch.Generator | None = None) -> Tensor:
    """`span_mask` with a configuration's numbers: (B,) frames → (B, T) bool."""
    M = config.mask_time_length
    return span_mask(lengths, config.mask_time_prob / M, M, config.mask_time_min_masks, generator)
