"""Every exercise passes right answers, and tells each mistake of its table what the table says, whatever is drawn."""

import importlib
import math
import pkgutil

import jiwer
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from w2v2_teach import ctc
from w2v2_teach.course import exercises as package
from w2v2_teach.course.exercises import (
    Exercise,
    Mistake,
    feature_encoder,
    finetuning,
    losses,
    masking,
    pretraining,
    quantizer,
    speakers,
    waveform,
    welcome,
)
from w2v2_teach.course.exercises import ctc as paths

EXERCISES = {
    f"{module.name}.{name}": value
    for module in pkgutil.iter_modules(package.__path__)
    for name, value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).items()
    if isinstance(value, Exercise)
}
MISTAKES = [(name, message) for name, exercise in EXERCISES.items() for message in exercise.mistakes]
SEEDS = range(3)


def outcomes(exercise, answer):
    """What an exercise says to an answer: once a seed, for some of its cases are random."""
    for seed in SEEDS:
        torch.manual_seed(seed)
        yield exercise(answer)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes(name):
    for outcome in outcomes(EXERCISES[name], EXERCISES[name].solution):
        assert outcome.state == "passed", outcome


@pytest.mark.parametrize(("name", "message"), MISTAKES)
def test_a_mistake_is_told_what_the_table_says(name, message):
    mistake = EXERCISES[name].mistakes[message]
    for outcome in outcomes(EXERCISES[name], mistake.answer if isinstance(mistake, Mistake) else mistake):
        assert outcome.state == "wrong", f"it passes: {message}"
        assert outcome.message.startswith(message), outcome


@pytest.mark.parametrize("name", EXERCISES)
def test_a_blank_answer_is_not_attempted_and_an_error_is_reported(name):
    def raises(*_):
        raise RuntimeError("no idea")

    assert EXERCISES[name](lambda *_: None).state == "not attempted"
    assert EXERCISES[name](lambda *_: ...).state == "not attempted"
    outcome = EXERCISES[name](raises)
    assert outcome.state == "wrong"
    assert "RuntimeError: no idea" in outcome.message


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("nonsense", ["seven", -0.123, ("a", None), {}, [[]], torch.zeros(3, 1, 4)], ids=str)
def test_nonsense_is_refused_without_a_traceback(name, nonsense):
    assert EXERCISES[name](lambda *_: nonsense).state == "wrong"


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_result_in_another_shape_is_refused(name):
    def in_a_list(*case):
        result = EXERCISES[name].solution(*case)
        return [result.detach() if isinstance(result, torch.Tensor) else result]

    assert EXERCISES[name](in_a_list).state == "wrong"


@pytest.mark.parametrize("name", sorted(name for name, exercise in EXERCISES.items() if exercise.one_result))
def test_a_result_that_no_mistake_explains_is_told_what_it_should_be(name):
    def off(result):
        if isinstance(result, str):
            return "healthy" if result == "plateau" else "plateau"
        if isinstance(result, tuple | list):
            return [off(part) for part in result]
        return ~result if getattr(result, "dtype", None) == torch.bool else result * 1.37 + 11

    solution = EXERCISES[name].solution
    outcome = EXERCISES[name](lambda *case: off(solution(*case)))
    assert outcome.state == "wrong"
    assert "it should be" in outcome.message or any(message in outcome.message for message in EXERCISES[name].mistakes)


def one_frame_after_the_other(N, K):
    others = [torch.tensor([m for m in range(N) if m != n]) for n in range(N)]
    return torch.stack([candidates[torch.randint(N - 1, (K,))] for candidates in others])


def place_one_by_one(T, M, n):
    mask = torch.zeros(T, dtype=torch.bool)
    while mask.sum() < n * M:
        start = int(torch.randint(T - M + 1, ()))
        if not mask[start : start + M].any():
            mask[start : start + M] = True
    return mask


def margin_by_index(cosine, labels, margin, scale):
    logits, rows = cosine.clone(), torch.arange(len(labels))
    logits[rows, labels] = (cosine[rows, labels].acos() + margin).cos()
    return scale * logits


def careless_hide(x, mask, vector):
    """It changes its argument, which must not change the case."""
    x[mask] = vector
    return x


OTHER_RIGHT_ANSWERS = [
    (welcome.check_best_candidate, lambda g, c: int(F.cosine_similarity(g[None], c, dim=1).argmax())),
    (welcome.check_shapes, lambda *case: [list(shape) for shape in welcome.shapes(*case)]),
    (waveform.check_alias, lambda f, rate: min(f % rate, rate - f % rate)),
    (waveform.check_attention_mask, lambda n: nn.utils.rnn.pad_sequence([torch.ones(k).long() for k in n], True)),
    (masking.check_hide, careless_hide),
    (masking.check_separate_spans, place_one_by_one),
    (losses.check_cosine_logits, lambda c, q, k: F.cosine_similarity(c[:, None], q[None], dim=2) / k),
    (losses.check_draw_negatives, one_frame_after_the_other),
    (losses.check_contrastive_loss, lambda x: (x.logsumexp(1) - x[:, 0]).sum()),
    (paths.check_collapse, lambda path: tuple(ctc.collapse(path))),
    (speakers.check_margin_logits, margin_by_index),
    (speakers.check_mix, lambda s, w: (s * w.softmax(0)[:, None, None, None]).sum(0)),
    (feature_encoder.check_design_stack, lambda: [[10, 7, 7, 4], [5, 4, 4, 2]]),
]


@pytest.mark.parametrize(("exercise", "answer"), OTHER_RIGHT_ANSWERS)
def test_a_right_answer_may_be_written_in_another_way(exercise, answer):
    for outcome in outcomes(exercise, answer):
        assert outcome.state == "passed", outcome


ALSO_WRONG = [  # other ways to a mistake of the table, and what the message says
    (welcome.check_count_frames, lambda s: math.ceil((16_000 * s - 400) / 320) + 1 if s < 1 else 49, "0 frames, not 1"),
    (welcome.check_shapes, lambda *case: welcome.shapes(*case)[0], "Return three shapes"),
    (welcome.check_shapes, lambda *case: [(b, t + 1, *rest) for b, t, *rest in welcome.shapes(*case)], "in the table"),
    (waveform.check_alias, lambda f, rate: f if f <= rate / 2 else abs(rate - f), "its other multiples"),
    (waveform.check_attention_mask, lambda n: waveform.mask_of(n).tolist(), "the type is not"),
    (waveform.check_attention_mask, lambda n: torch.ones(int(n.max())), "B rows"),
    (
        waveform.check_masked_normalize,
        lambda x, m: torch.stack([(row - row.mean()) / row.std() for row in x]) * m,
        "run over the padding",
    ),
    (waveform.check_mix, lambda s, n, _db: s + 3 * n, "Measure it"),
    (feature_encoder.check_frames_that_see, lambda n, _field, hop, _frames: n // hop, "A list of frame numbers"),
    (feature_encoder.check_field_and_hop, lambda k, s, d: feature_encoder.field_and_hop(k, s, d)[0], "A pair"),
    (feature_encoder.check_design_stack, lambda: ((2,) * 7, (2,) * 7), "at most 6"),
    (masking.check_hide, lambda x, m, v: torch.where(m, v, x), "raised RuntimeError"),
    (quantizer.check_straight_through, lambda soft: 2 * soft - soft.detach().round(), "it should be"),
    (quantizer.check_straight_through, lambda soft: quantizer.straight_through(soft) * soft / soft.detach(), "of soft"),
    (quantizer.check_prob_perplexity, lambda x: torch.special.entr(x.softmax(2).mean(0)).sum().exp(), "multiplied"),
    (quantizer.check_prob_perplexity, lambda _: math.nan, "0 · log 0"),
    (losses.check_draw_negatives, lambda N, K: (torch.arange(N)[:, None] + 1 + torch.arange(K)) % N, "got itself"),
    (losses.check_draw_negatives, lambda N, K: torch.randint(N - 1, (K, N)), "shape (N, K)"),
    (paths.check_count_paths, paths._counting(starts=1), "may begin, and may end"),
    (paths.check_forward_step, lambda alpha, *_: alpha * math.nan, "NaN"),
    (finetuning.check_word_error_rate, lambda r, h: 100 * jiwer.wer(r, h), "it should be"),
    (pretraining.check_diagnose, lambda *_: "healthy", "“plateau”"),
    (pretraining.check_plateau_left, lambda u, x, K: u[(x < math.log2(K + 1)).nonzero()[0, 0]], "in nats"),
]


@pytest.mark.parametrize(("exercise", "answer", "fragment"), ALSO_WRONG)
def test_a_mistake_may_be_made_in_another_way(exercise, answer, fragment):
    for outcome in outcomes(exercise, answer):
        assert outcome.state == "wrong"
        assert fragment in outcome.message


def test_an_honest_draw_is_never_called_uneven():
    for seed in range(30):
        torch.manual_seed(seed)
        assert losses.check_draw_negatives(losses.draw_negatives).state == "passed"
