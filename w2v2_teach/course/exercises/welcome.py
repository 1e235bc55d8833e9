"""The checks of notebook 00: frames, chance, the contrastive game, bits, shapes."""

import math

import torch
from torch.nn import functional as F

from w2v2_teach.config import BASE, TINY
from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize


@exercise("Right for a second, for the shortest sounds and for long ones: the last window has to fit, too.")
def check_count_frames(count_frames: Answer) -> None:
    """`count_frames(seconds)`: the frames that BASE makes of so much sound."""
    eighths = torch.randint(1, 240, (8,))  # up to 30 s, exact in binary
    for seconds in [1.0, 0.025, 0.0225, 0.045, *(eighths / 8).tolist()]:
        samples = round(16_000 * seconds)
        wanted = BASE.frame_lengths(samples)
        got = call(count_frames, seconds)
        case = f"For {seconds} s:"
        if wanted == 0 and got != 0:
            raise Wrong(f"{case} {samples} samples do not fill one window of 400, so there are 0 frames, not {got}.")
        if got == wanted:
            continue
        if got in (round(seconds * 100), (samples - 320) // 160 + 1):
            raise Wrong(f"{case} you counted a frame every 10 ms; the strides multiply to 320 samples, 20 ms.")
        if got == samples // 400:
            raise Wrong(f"{case} your windows do not overlap: they are 400 samples wide, but 320 apart.")
        expect(got, wanted, f"{case} a new frame starts every 320 samples, as long as 400 samples still fit.", atol=0)


@exercise("Right: one true answer among K + 1 candidates.")
def check_chance_accuracy(chance_accuracy: Answer) -> None:
    """`chance_accuracy(num_distractors)`: how often blind guessing finds the hidden frame."""
    for k in [3, TINY.num_negatives, BASE.num_negatives, *torch.randint(1, 1000, (5,)).tolist()]:
        got = call(chance_accuracy, k)
        if isinstance(got, float) and math.isclose(got, 1 / k) and k > 1:
            raise Wrong(f"For K = {k} you gave 1/K. The true one is a candidate, too: there are K + 1 candidates.")
        if isinstance(got, float) and math.isclose(got, k / (k + 1)):
            raise Wrong(f"For K = {k} you gave K/(K+1), which is how often a guess is wrong.")
        expect(got, 1 / (k + 1), f"For K = {k}: how many candidates are there in all?", atol=1e-9)


@exercise("Right: the direction decides, not the length.")
def check_best_candidate(best_candidate: Answer) -> None:
    """`best_candidate(guess, candidates)`: the index of the candidate (K+1, C) with the largest cosine to (C,)."""
    guess, candidates = torch.tensor([1.0, 1.0]), torch.tensor([[9.0, 0.0], [0.1, 0.1], [-1.0, -1.0]])
    hint = "The candidates are (9, 0), (0.1, 0.1) and (-1, -1), the guess is (1, 1): compare directions."
    got = _index(call(best_candidate, guess, candidates))
    if got == 0:
        raise Wrong(f"You chose (9, 0), a long vector that points elsewhere: divide by both lengths. {hint}")
    if got == 2:
        raise Wrong(f"You chose the opposite direction, cosine -1: look for the largest. {hint}")
    expect(got, 1, hint)
    for _ in range(6):
        c, k = int(torch.randint(2, 20, ())), int(torch.randint(2, 60, ()))
        guess, candidates = torch.randn(c), torch.randn(k + 1, c) * torch.rand(k + 1, 1) * 10
        wanted = F.cosine_similarity(guess[None], candidates, dim=1).argmax()  # index in 0 … K
        got = _index(call(best_candidate, guess, candidates))
        expect(got, wanted, f"There were {k + 1} candidates of width {c}.")


@exercise("Right: and now compare it with the 256,000 bits a second of 16-bit sound.")
def check_code_bit_rate(code_bit_rate: Answer) -> None:
    """`code_bit_rate(num_groups, num_entries)`: bits per second of the codes, at 50 frames a second."""
    for groups, entries in [(BASE.num_codevector_groups, 1024), (2, 64), (1, 2), (4, 16), (2, 320)]:
        got, case = call(code_bit_rate, groups, entries), f"For G = {groups}, V = {entries}:"
        wanted = 50 * groups * math.log2(entries)
        mistakes = {
            "these are the bits of one frame; a second has 50 of them.": wanted / 50,
            "there is a frame every 20 ms, which makes 50 a second, not 100.": wanted * 2,
            "you took the natural logarithm; bits want log2.": 50 * groups * math.log(entries),
            "that is one codebook of G·V entries; here G codebooks choose.": 50 * math.log2(groups * entries),
            "you counted entries. To name one of V entries takes log2(V) bits.": 50 * groups * entries,
        }
        recognize(got, wanted, {f"{case} {message}": result for message, result in mistakes.items()})
        expect(got, wanted, f"{case} each codebook's choice takes log2(V) bits, 50 times a second.")


@exercise("Right: you can read the shape comments of the whole course.")
def check_shapes(shapes: Answer) -> None:
    """`shapes(config, batch, samples)`: the shapes of z, of c and of the code logits."""
    for config in (BASE, TINY):
        batch, samples = int(torch.randint(1, 9, ())), int(torch.randint(400, 80_000, ()))
        frames = config.frame_lengths(samples)
        logits = (batch, frames, config.num_codevector_groups, config.num_codevectors_per_group)
        wanted = {"z": (batch, frames, config.conv_dim[-1]), "c": (batch, frames, config.hidden_size), "logits": logits}
        got = call(shapes, config, batch, samples)
        if not isinstance(got, tuple | list) or len(got) != len(wanted):
            raise Wrong("Return three shapes: that of z, that of c, and that of the code logits.")
        for (name, shape), answer in zip(wanted.items(), got, strict=True):
            _expect_shape(name, answer, shape, f"With B = {batch}, L = {samples}")


def _expect_shape(name: str, got: object, wanted: tuple[int, ...], case: str) -> None:
    """Compare one shape, and name the usual slips.

    Raises:
        Wrong: it is another shape, or none.
    """
    if not isinstance(got, tuple | list):
        raise Wrong(f"The shape of {name} should be a tuple, such as (B, T, C), not {got!r}.")
    shape, message = tuple(got), f"{case} you gave {name} the shape {tuple(got)}:"
    if shape == wanted:
        return
    if len(shape) != len(wanted):
        raise Wrong(f"{message} it has {len(wanted)} dimensions.")
    if sorted(shape) == sorted(wanted):
        raise Wrong(f"{message} the numbers are right, but the order in this course is (batch, time, features).")
    if shape[1] > wanted[1] + 1:
        raise Wrong(f"{message} time is counted in frames here, config.frame_lengths(samples), not in samples.")
    if shape[:2] == wanted[:2] and len(shape) == 3:
        raise Wrong(f"{message} z has the encoder's width C, c the Transformer's width D.")
    raise Wrong(f"{message} look the symbols up in the table above.")


def _index(got: object) -> int:
    """The reader's choice as an int.

    Raises:
        Wrong: it is no single whole number.
    """
    if isinstance(got, torch.Tensor) and got.ndim == 0 and not got.is_floating_point():
        return int(got)
    if not isinstance(got, int):
        raise Wrong("Return one index, a whole number: which candidate is it?")
    return got
