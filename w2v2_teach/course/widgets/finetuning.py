"""Fine-tuning explorer: go through the updates of a run, and see how P(token | frame) turns into text."""

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.course.plots.finetuning import tokens_over_time
from w2v2_teach.course.widgets.explorer import Explorer
from w2v2_teach.decoding.beam_search import greedy_decode
from w2v2_teach.decoding.error_rates import error_rates
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.speech.corpora import Utterance


def emergence_explorer(
    moments: Mapping[int, Sequence[Tensor]],
    utterances: Sequence[Utterance],
    vocabulary: Vocabulary,
    config: Wav2Vec2Config,
) -> Explorer:
    """Choose an update and an utterance.

    `moments` is update → the log probabilities (T, V) of each utterance after it, for two updates or more; `config` is
    the model's, for the times of its frames.
    """
    updates = list(moments)

    def draw(update: int, utterance: int) -> tuple[Figure, str]:
        log_probs, spoken = moments[update][utterance], utterances[utterance]
        text = vocabulary.decode(greedy_decode(log_probs))
        figure = tokens_over_time(
            log_probs.exp().numpy(), vocabulary.tokens, spoken.words, frame_times(config, len(log_probs)).numpy(),
            title=f"After update {update}, speaker {spoken.speaker}", text=text,
        )  # fmt: skip
        return figure, _sentence(update, spoken, log_probs, text, vocabulary.blank)

    return Explorer(
        draw,
        update=widgets.SelectionSlider(
            options=updates, value=updates[len(updates) // 2 - 1], description="update", continuous_update=False
        ),
        utterance=widgets.ToggleButtons(
            options=[(u.speaker, i) for i, u in enumerate(utterances)], description="speaker"
        ),
    )


def _sentence(update: int, spoken: Utterance, log_probs: Tensor, text: str, blank: int) -> str:
    """What there is to see: the text and its errors, and how sure the frames are of what."""
    surest = log_probs.exp().amax(dim=1)  # (T,)
    blanks = (log_probs.argmax(dim=1) == blank).float().mean()
    errors = error_rates([spoken.text], [text])
    return (
        f"After update {update}. Said: “{spoken.text}”. Written: “{text}”. Word error rate {errors['wer']:.0%}, "
        f"character error rate {errors['cer']:.0%}. Blank is the likeliest token in {blanks:.0%} of the frames; the "
        f"likeliest token has a probability of {surest.mean():.2f} on average."
    )
