"""Checks of notebook 12: a margin on an angle, statistics pooling, both errors of a threshold, a mixture of layers."""

from __future__ import annotations

import torch

from w2v2_teach.course.exercises import Answer, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check


@exercise("Right: the own class is judged at a wider angle, every other class at its own.")
def check_margin_logits(answer: Answer) -> None:
    """margin_logits(cosine (N, S), labels (N,), margin, scale) → (N, S), all angles below π - margin."""
    for _ in range(ROUNDS):
        N, S = int(torch.randint(3, 9, ())), int(torch.randint(4, 7, ()))
        cosine = 0.8 * (2 * torch.rand(N, S) - 1)
        labels = torch.randint(S, (N,))
        margin, scale = float(0.1 + 0.4 * torch.rand(())), float(5 + 25 * torch.rand(()))
        own = torch.nn.functional.one_hot(labels, S).bool()
        angle = cosine.acos()
        wanted = scale * torch.where(own, (angle + margin).cos(), cosine)
        recognize(
            got := call(answer, cosine, labels, margin, scale),
            wanted,
            {
                "The margin goes to the own class alone; you gave it to all.": scale * (angle + margin).cos(),
                "The margin went to every class but the own one.": scale
                * torch.where(own, cosine, (angle + margin).cos()),
                "You made the angle smaller, which helps the own class; the margin makes its task harder.": (
                    scale * torch.where(own, (angle - margin).cos(), cosine)
                ),
                "You took the margin from the cosine, as CosFace does; ArcFace adds it to the angle.": (
                    scale * torch.where(own, cosine - margin, cosine)
                ),
                "Multiply by s: cosines differ by 2 at most.": wanted / scale,
                "These are the logits without a margin.": scale * cosine,
                "These are angles; a logit is the cosine of the angle, times s.": (
                    scale * torch.where(own, angle + margin, angle)
                ),
                "You scaled the own class alone; every logit is multiplied by s.": torch.where(own, wanted, cosine),
            },
        )
        expect(got, wanted, f"The case had {N} embeddings, {S} classes and m = {margin:.2f}.", atol=1e-3)


@exercise("Right: mean and standard deviation of the real frames, whatever stands in the padding.")
def check_statistics(answer: Answer) -> None:
    """statistics(x (B, T, D), mask (B, T) bool) → (B, 2 D): mean, then standard deviation, of the real frames."""
    for _ in range(ROUNDS):
        B, T, D = (int(n) for n in torch.randint(3, 6, (3,)) + torch.tensor([0, 6, 0]))
        lengths = torch.randint(3, T, (B,))
        mask = torch.arange(T) < lengths[:, None]  # (B, T)
        x = 2 * torch.randn(B, T, D) + 1
        rows = [row[:length] for row, length in zip(x, lengths.tolist(), strict=True)]
        mean = torch.stack([row.mean(dim=0) for row in rows])
        deviation = torch.stack([row.std(dim=0, correction=0) for row in rows])
        unbiased = torch.stack([row.std(dim=0) for row in rows])
        wanted = torch.cat([mean, deviation], dim=1)
        zeroed = x * mask[:, :, None]
        recognize(
            got := call(answer, x, mask),
            wanted,
            {
                "Padding is counted as if it were speech: use the mask.": (
                    torch.cat([x.mean(dim=1), x.std(dim=1, correction=0)], dim=1)
                ),
                "Padding counts as zeros: divide by the number of real frames, not by T.": (
                    torch.cat([zeroed.mean(dim=1), zeroed.std(dim=1, correction=0)], dim=1)
                ),
                "This is the variance; its root is the standard deviation.": torch.cat([mean, deviation**2], dim=1),
                "The standard deviation divides by the number of frames here, not by one less.": (
                    torch.cat([mean, unbiased], dim=1)
                ),
                "Mean first, then standard deviation.": torch.cat([deviation, mean], dim=1),
                "Only the mean: the standard deviation stands behind it.": mean,
                "√(mean of x²) is not the standard deviation: subtract the mean first.": (
                    torch.cat([mean, (deviation**2 + mean**2).sqrt()], dim=1)
                ),
            },
        )
        expect(got, wanted, f"The case had lengths {lengths.tolist()} of {T} frames.", atol=1e-2)


@exercise("Right: of the pairs of two speakers those let in, of the pairs of one those kept out.")
def check_errors_at(answer: Answer) -> None:
    """errors_at(scores (P,), is_same (P,) bool, threshold) → (false accepts, false rejects), as shares."""
    for round_ in range(ROUNDS):
        P = int(torch.randint(20, 40, ()))
        is_same = torch.rand(P) < 0.3
        is_same[:3], is_same[3:6] = True, False
        scores = (torch.randn(P) + 1.5 * is_same).mul(4).round().div(4)  # some scores equal the threshold
        threshold = float(scores[int(torch.randint(P, ()))]) if round_ else 0.75
        accepted = scores >= threshold
        accepts, rejects = accepted[~is_same].float().mean(), (~accepted)[is_same].float().mean()
        wanted = [accepts, rejects]
        strictly = scores > threshold
        recognize(
            got := call(answer, scores, is_same, threshold),
            wanted,
            {
                "False accepts first, then false rejects.": wanted[::-1],
                "A pair whose score equals the threshold is accepted.": [
                    strictly[~is_same].float().mean(), (~strictly)[is_same].float().mean(),
                ],
                "You divided by all pairs; each error is a share of the pairs that can make it.": [
                    (accepted & ~is_same).float().mean(), (~accepted & is_same).float().mean(),
                ],
                "These are counts; shares are wanted.": [(accepted & ~is_same).sum(), (~accepted & is_same).sum()],
                "You divided by the accepted and the rejected; divide by the pairs of two speakers, and of one.": [
                    (~is_same)[accepted].float().mean(), is_same[~accepted].float().mean(),
                ],
                "These are the shares of right decisions; the wrong ones are wanted.": [1 - accepts, 1 - rejects],
            },
        )  # fmt: skip
        expect(got, wanted, f"The case had {P} pairs and the threshold {threshold}.")


@exercise("Right: softmax makes weights of any numbers, and the layers are added up with them.")
def check_mix(answer: Answer) -> None:
    """mix(states (L, B, T, D), layer_weights (L,)) → (B, T, D)."""
    for _ in range(ROUNDS):
        L, B, T, D = (int(n) for n in torch.randint(2, 5, (4,)) + torch.tensor([1, 0, 1, 2]))
        states, raw = torch.randn(L, B, T, D), 2 * torch.randn(L)
        shares = raw.softmax(dim=0)
        wanted = torch.einsum("lbtd,l->btd", states, shares)
        recognize(
            got := call(answer, states, raw),
            wanted,
            {
                "The weights are used as they are; softmax makes them positive, and add up to 1.": (
                    torch.einsum("lbtd,l->btd", states, raw)
                ),
                "This is the mean of all layers: where are the weights?": states.mean(dim=0),
                "You averaged over the layers as well; a weighted sum is enough.": wanted / L,
                "The weights are not divided by their sum: softmax does that.": (
                    torch.einsum("lbtd,l->btd", states, raw.exp())
                ),
                "This is the one layer with the largest weight; all of them are mixed.": states[int(raw.argmax())],
                "The layers are weighted, but not added up.": states * shares[:, None, None, None],
                "Divided by their sum, the weights may still be negative: take the softmax.": (
                    torch.einsum("lbtd,l->btd", states, raw / raw.sum())
                ),
            },
        )
        expect(got, wanted, f"The case had {L} layers.", atol=1e-4)
