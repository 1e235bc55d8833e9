"""What is said: fine-tuning with CTC, how well a recognizer transcribes, and whether it knows when words are said."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.ctc import CTCError, ctc_loss, forced_alignment, frames_needed
from w2v2_teach.decoding.beam_search import beam_search, greedy_decode
from w2v2_teach.decoding.confidence import fit_temperature, reliability, scored_words
from w2v2_teach.decoding.error_rates import boundary_errors, error_rates
from w2v2_teach.decoding.ngram import NGramModel
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.decoding.word_times import word_times
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.speech.audio import MIN_SAMPLES
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.corpora import Corpus, Utterance
from w2v2_teach.speech.intervals import Interval
from w2v2_teach.tasks.crops import speeds
from w2v2_teach.tasks.finetuning import Finetuning, MicroBatch, begin_finetuning
from w2v2_teach.tasks.settings import FinetuningSettings
from w2v2_teach.training.task import Losses

# What differs for TINY on two CPU cores. Its channels are a fifth of BASE's, and so are the spans over them.
TINY_ASR_RECIPE = FinetuningSettings(
    updates=3_000,
    batch_size=16,
    learning_rate=2e-3,
    warmup_updates=300,
    hold_updates=1_200,
    freeze_context_updates=100,
    mask_time_prob=0.25,
    mask_time_length=5,
    mask_feature_prob=0.128,
    mask_feature_length=16,
    layerdrop=0.0,
)


class SpeechRecognition(Finetuning[FinetuningSettings]):
    """Transcripts by CTC: `Wav2Vec2ForCTC` and a vocabulary."""

    progress_metrics = ("loss", "blank_share")
    recipes: ClassVar = {"base": FinetuningSettings(), "tiny": TINY_ASR_RECIPE}
    model: Wav2Vec2ForCTC

    def __init__(
        self,
        model: Wav2Vec2ForCTC,
        vocabulary: Vocabulary,
        settings: FinetuningSettings,
        train: Corpus,
        dev: Corpus,
    ) -> None:
        settings.require("crop_seconds", settings.crop_seconds is None, "None: a transcript is of the whole utterance")
        require_room(train, vocabulary, model.config, settings.speed)
        self.vocabulary = vocabulary
        super().__init__(model, settings, train, dev)

    @classmethod
    def begin(cls, start: str, settings: FinetuningSettings, train: Corpus, dev: Corpus) -> "SpeechRecognition":
        """With the characters of both corpora for a vocabulary: a rare letter may be missing in a minute of labels."""
        vocabulary = Vocabulary.from_texts(utterance.text for utterance in (*train, *dev))
        model = begin_finetuning(Wav2Vec2ForCTC, start, settings, vocab_size=len(vocabulary))
        return cls(model, vocabulary, settings, train, dev)

    def items(self, utterances: Sequence[Utterance]) -> int:
        """Characters: every one weighs the same, in short and in long utterances; 1 where nothing is said at all."""
        return max(1, sum(len(utterance.text) for utterance in utterances))

    def losses(self, model: nn.Module, micro_batch: MicroBatch) -> Losses:
        """The CTC loss, in nats, and the share of the frames whose likeliest token is the blank."""
        inputs, utterances = micro_batch
        output = model(**inputs)
        ids = [torch.tensor(self.vocabulary.encode(u.text), dtype=torch.long) for u in utterances]  # B of (U_i,)
        targets = pad_sequence(ids, batch_first=True).to(output.logits.device)  # (B, U)
        lengths = torch.tensor([len(target) for target in ids], device=targets.device)  # (B,)
        names = [utterance.id for utterance in utterances]
        loss = ctc_loss(output.log_probs, targets, output.frame_lengths, lengths, names).sum()
        blanks = (output.logits.argmax(dim=-1) == self.vocabulary.blank)[output.frame_mask].float().mean()
        return Losses(loss, {"blank_share": self.items(utterances) * blanks})

    def evaluate(self) -> dict[str, float]:
        """Word and character error rate of greedy decoding; of several corpora, of each one's dev speakers as well."""
        texts = transcripts(corpus_log_probs(self.model, self.dev), self.vocabulary)
        self.model.train()
        metrics, rest = error_rates([utterance.text for utterance in self.dev], texts), iter(texts)
        for part in self.dev.parts if len(self.dev.parts) > 1 else ():
            rates = error_rates([utterance.text for utterance in part], list(islice(rest, len(part))))
            metrics |= {f"{part.name.partition('/')[0]}_{name}": rate for name, rate in rates.items()}
        return metrics

    def export(self, folder: Path) -> None:
        """Model and vocabulary; the temperature of its confidences is fitted on the dev speakers."""
        config, log_probs = self.model.config, corpus_log_probs(self.model, self.dev)
        self.model.train()
        references = [utterance.text for utterance in self.dev]
        temperature = fit_temperature(log_probs, references, self.vocabulary, config)
        self.model.config = replace(config, ctc_temperature=temperature)
        super().export(folder)
        self.model.config = config  # the run's own, by which it is known when it is resumed
        self.vocabulary.save(folder)


def require_room(corpus: Corpus, vocabulary: Vocabulary, config: Wav2Vec2Config, speed: float = 0.0) -> None:
    """Every transcript has enough frames for its tokens, even where the utterance is as fast as training makes it.

    Raises:
        CTCError: some have not; names all of them.
        VocabularyError: a transcript with a character that has no token.
    """
    short = []
    for utterance in corpus:
        target = torch.tensor([vocabulary.encode(utterance.text)], dtype=torch.long)  # (1, U)
        needed = int(frames_needed(target, torch.tensor([target.shape[1]])))
        samples = max(MIN_SAMPLES, round(utterance.num_samples / speeds(speed).max()))
        if needed > (frames := config.frame_lengths(samples)):
            short.append(f"{utterance.id} ({needed} needed, {frames} there)")
    if short:
        faster = f" when they are {1 + speed:g} times as fast" if speed else ""
        raise CTCError(
            f"{corpus.name}: {len(short)} transcripts need more frames than their audio has{faster}; correct or remove "
            f"them: {', '.join(short)}"
        )


def corpus_log_probs(model: Wav2Vec2ForCTC, corpus: Corpus) -> list[Tensor]:
    """The log probabilities (T, V) of every utterance, in order; leaves the model in evaluation mode."""

    def real_frames(x: Tensor, attention_mask: Tensor) -> list[Tensor]:
        output = model(x, attention_mask)
        rows = zip(output.log_probs.cpu(), output.frame_lengths.tolist(), strict=True)
        return [log_probs[:frames] for log_probs, frames in rows]

    return for_each_utterance(model, corpus, real_frames)


def transcripts(
    log_probs: Sequence[Tensor], vocabulary: Vocabulary, language_model: NGramModel | None = None
) -> list[str]:
    """The text of each utterance: greedy, or by beam search where there is a language model."""
    if language_model is None:
        return [vocabulary.decode(greedy_decode(frames)) for frames in log_probs]
    return [beam_search(frames, vocabulary, language_model=language_model)[0].text for frames in log_probs]


def recognition_metrics(
    model: Wav2Vec2ForCTC, vocabulary: Vocabulary, corpus: Corpus, language_model: NGramModel | None = None
) -> dict[str, float]:
    """`wer` and `cer` of greedy decoding and, with a language model, `beam_wer` and `beam_cer`, as shares of one."""
    return text_metrics(corpus_log_probs(model, corpus), vocabulary, corpus, language_model)


def text_metrics(
    log_probs: Sequence[Tensor], vocabulary: Vocabulary, corpus: Corpus, language_model: NGramModel | None
) -> dict[str, float]:
    """`recognition_metrics`, from the log probabilities (T, V) of every utterance."""
    references = [utterance.text for utterance in corpus]
    metrics = error_rates(references, transcripts(log_probs, vocabulary))
    if language_model is not None:
        beam = error_rates(references, transcripts(log_probs, vocabulary, language_model))
        metrics |= {f"beam_{name}": rate for name, rate in beam.items()}
    return metrics


def alignment_errors(model: Wav2Vec2ForCTC, vocabulary: Vocabulary, corpus: Corpus) -> np.ndarray:
    """Distance in seconds of every word boundary, found by forced alignment, from the true one.

    Args:
        corpus: with exact word times.

    Returns:
        (boundaries,) two a word, its start and its end.
    """
    errors = []
    for utterance, log_probs in zip(corpus, corpus_log_probs(model, corpus), strict=True):
        spans = forced_alignment(log_probs, vocabulary.encode(utterance.text))
        found = word_times(spans, vocabulary, model.config)
        errors.append(boundary_errors([Interval(w.start, w.end, w.text) for w in found], utterance.words))
    return np.concatenate(errors)


def likeliest_text(log_probs: Tensor, texts: Sequence[str], vocabulary: Vocabulary) -> str:
    """The text of highest probability among a few: beam search that may write nothing else, and prunes nothing.

    Args:
        log_probs: (T, V) log softmax.
        texts: C candidates; one that needs more than T frames is out.
        vocabulary: of the V tokens.
    """
    ids = [torch.tensor(vocabulary.encode(text)) for text in texts]  # C of (U_c,)
    targets, lengths = pad_sequence(ids, batch_first=True), torch.tensor([len(x) for x in ids])  # (C, U), (C,)
    fits = frames_needed(targets, lengths) <= len(log_probs)  # (C,)
    frames = torch.full_like(lengths[fits], len(log_probs))
    losses = ctc_loss(log_probs.expand(len(frames), -1, -1), targets[fits], frames, lengths[fits])
    return texts[int(fits.nonzero()[losses.argmin(), 0])]


def evaluate_asr(
    model: Wav2Vec2ForCTC, vocabulary: Vocabulary, toy: Corpus, human: Corpus, digits: Corpus
) -> dict[str, Any]:
    """Error rates, greedy and by beam search; how reliable confidences are; times of words; single digits.

    Args:
        model: what has been fine-tuned.
        vocabulary: its own.
        toy: with splits "train", whose transcripts make the word trigram model, and "test"; with exact word times.
        human: with the same splits.
        digits: recordings of single digits, by human speakers.

    Returns:
        Numbers; those on human speech begin with "human_", those on digits with "fsdd_", those of empty transcripts
        with "empty_". In "reliability", a table for each corpus.
    """
    results: dict[str, Any] = {}
    tables = {}
    for prefix, corpus in (("", toy), ("human_", human)):
        train, test = corpus.split("train"), corpus.split("test")
        log_probs, references = corpus_log_probs(model, test), [utterance.text for utterance in test]
        language_model = NGramModel.from_texts(utterance.text for utterance in train)
        metrics = text_metrics(log_probs, vocabulary, test, language_model)
        scored = scored_words(log_probs, references, vocabulary, model.config, model.config.ctc_temperature)
        tables[corpus.name] = reliability(scored)
        metrics["confidence_error"] = tables[corpus.name]["expected_calibration_error"]
        metrics |= {f"empty_{name}": rate for name, rate in error_rates(references, [""] * len(test)).items()}
        metrics["words"] = sum(len(text.split()) for text in references)
        results |= {prefix + name: value for name, value in metrics.items()}
    said = [utterance.text for utterance in digits]
    names = sorted(set(said))
    found = [likeliest_text(frames, names, vocabulary) for frames in corpus_log_probs(model, digits)]
    return {
        **results,
        "median_boundary_error": float(np.median(alignment_errors(model, vocabulary, toy.split("test")))),
        "fsdd_accuracy": float(np.mean(np.array(found) == np.array(said))),
        "fsdd_most_frequent": max(map(said.count, names)) / len(said),
        "fsdd_recordings": len(said),
        "reliability": tables,
    }
