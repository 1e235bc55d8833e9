"""Fine-tuning on labels: what an update draws, freezes, computes and reports (Sections 3.3, 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from w2v2_teach import config
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.heads import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2ForSpeakerVerification
from w2v2_teach.masking import span_mask
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.audio import MIN_SAMPLES
from w2v2_teach.speech.batching import Batch
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import Corpus, Utterance
from w2v2_teach.tasks.crops import LabeledBatches
from w2v2_teach.tasks.encoder_cache import FrozenEncoderCache
from w2v2_teach.training.distributed import own_share
from w2v2_teach.training.settings import ADAM, SettingsError, TrainingSettings, setting
from w2v2_teach.training.task import Losses, UpdateInputs

AnyHead = Wav2Vec2ForCTC | Wav2Vec2ForSequenceClassification | Wav2Vec2ForSpeakerVerification
Model = TypeVar("Model", bound=AnyHead)
Settings = TypeVar("Settings", bound="FinetuningSettings")


@dataclass(frozen=True)
class FinetuningSettings(TrainingSettings):
    """`TrainingSettings`, and what fine-tuning has of its own. The defaults are BASE's for 1 h of labels."""

    updates: int = setting(13_000, "parameter updates in all")
    learning_rate: float = setting(5e-5, "peak of the learning rate of the head")
    warmup_updates: int = setting(1_300, "updates in which the learning rate rises from its floor")
    hold_updates: int = setting(5_200, "updates in which it then stays at its peak, before it falls back to the floor")
    crop_seconds: float | None = setting(None, "longest piece of an utterance that is heard at once, in seconds")
    longest_seconds: float | None = setting(None, "leave out utterances that are longer than this")
    freeze_encoder: bool = setting(True, "leave the feature encoder as it was pre-trained")
    freeze_encoder_updates: int = setting(0, "with --no-freeze-encoder: updates before the feature encoder learns")
    freeze_context_updates: int = setting(10_000, "updates in which the head alone is trained")
    unfreeze_every: int = setting(0, "then one more layer from the top every so many updates; 0: all at once (ULMFiT)")
    rate_decay: float = setting(1.0, "factor on the learning rate from each layer to the one below (ULMFiT: 1/2.6)")
    speed: float = setting(0.0, "by how much an utterance may be faster or slower each time, as a share")
    narrowband: float = setting(0.0, "share of utterances heard without what lies above 4 kHz, as by telephone")
    mask_time_prob: float = setting(0.75, "p·M, the share of frames that spans would mask if none overlapped")
    mask_time_length: int = setting(10, "M, frames in a span")
    mask_feature_prob: float = setting(0.256, "the share of channels that spans would set to zero if none overlapped")
    mask_feature_length: int = setting(64, "channels in a span")
    dropout: float = setting(0.1, "in the context network and before the head")
    layerdrop: float = setting(0.1, "chance that training skips a whole Transformer layer")

    def __post_init__(self) -> None:
        super().__post_init__()
        frame = MIN_SAMPLES / SAMPLE_RATE  # s
        self.require("crop_seconds", self.crop_seconds is None or self.crop_seconds >= frame, f"{frame} s or more")
        for name in ("freeze_encoder_updates", "freeze_context_updates", "unfreeze_every"):
            self.require(name, getattr(self, name) >= 0, "0 or more")
        self.require("rate_decay", 0 < self.rate_decay <= 1, "in (0, 1]")
        self.require("speed", 0 <= self.speed < 1, "in [0, 1)")
        for name in ("narrowband", "mask_time_prob", "mask_feature_prob", "dropout", "layerdrop"):
            self.require(name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        for name in ("mask_time_length", "mask_feature_length"):
            self.require(name, getattr(self, name) >= 1, "1 or more")


@dataclass(frozen=True)
class LayerSumSettings(FinetuningSettings):
    """`FinetuningSettings` for a head on a weighted sum of layers, which is trained from the first update on."""

    freeze_context_updates: int = setting(0, "updates in which the head alone is trained")
    keep_layers: int | None = setting(None, "Transformer layers to keep, from the bottom; all if not given")
    layerdrop: float = setting(0.0, "must be 0: a layer that is skipped has no output to mix")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("keep_layers", self.keep_layers is None or self.keep_layers >= 1, "1 or more")
        self.require("layerdrop", self.layerdrop == 0, "0: a layer that is skipped has no output to mix")

    def config_fields(self) -> dict[str, Any]:
        """Fields of the model's configuration: a learned weight for each layer that is kept, and no layers above."""
        layers = {} if self.keep_layers is None else {"num_hidden_layers": self.keep_layers}
        return {"use_weighted_layer_sum": True, **layers}


CACHED_HOURS = 6.0  # up to this much speech, a frozen encoder's frames are kept: TINY's take 92 MB an hour and speed
SCRATCH = "scratch"  # in place of a checkpoint: TINY with random weights


def begin_finetuning(model_class: type[Model], start: str, settings: FinetuningSettings, **head: Any) -> Model:
    """A model with a new head and the weights of a checkpoint; the head's random weights follow from `settings.seed`.

    Args:
        model_class: one of `heads`.
        start: a checkpoint that `from_pretrained` finds, or "scratch" for TINY with random weights.
        settings: whose seed, dropout and layer drop the model gets.
        head: other fields of the model's configuration: those that describe the head or that it needs.

    Raises:
        CheckpointError, ConfigError: see `Pretrained.from_pretrained`.
        SettingsError: more layers are to be kept than there are.
    """
    torch.manual_seed(settings.seed)
    pretrained = None if start == SCRATCH else Wav2Vec2Model.from_pretrained(start)
    shape = config.TINY if pretrained is None else pretrained.config
    kept = head.get("num_hidden_layers", 1)
    if kept > shape.num_hidden_layers:
        raise SettingsError(f"keep_layers is {kept}; {start} has {shape.num_hidden_layers} Transformer layers.")
    dropout = dict.fromkeys(("hidden_dropout", "final_dropout"), settings.dropout)
    model = model_class(replace(shape, **{"layerdrop": settings.layerdrop, **dropout, **head}))
    if pretrained is not None:
        names = model.wav2vec2.state_dict().keys()  # fewer than there are, where `head` keeps the lower layers only
        model.wav2vec2.load_state_dict({k: v for k, v in pretrained.state_dict().items() if k in names})
    return model


def spans(lengths: Tensor, prob: float, length: int, generator: torch.Generator) -> Tensor:
    """`span_mask` with `prob` = p·M, as in the model's configuration and in Hugging Face's; no span where p is 0."""
    return span_mask(lengths, prob / length, length, 0, generator)


class MicroBatch(NamedTuple):
    """What one pass through the model needs."""

    inputs: dict[str, Tensor | None]  # the model's arguments
    utterances: Sequence[Utterance]  # whose labels the loss compares with


class Finetuning(Generic[Settings]):
    """What the tasks for a `Trainer` that learn from labels share; a subclass has targets, a loss and a measure.

    Args:
        model: with a base model in `wav2vec2`, and a head in its other children.
        settings: see there.
        train: utterances with labels, of one or several joined corpora.
        dev: utterances by other speakers, to measure on.

    Raises:
        SettingsError: a corpus does not fill its share of a batch.
    """

    progress_metrics: tuple[str, ...] = ("loss",)
    optimizer_settings: ClassVar = ADAM
    skips_parameters = True  # the head alone learns at first
    recipes: ClassVar[dict[str, FinetuningSettings]]  # "base": the paper's, "tiny": for two CPU cores

    def __init__(self, model: AnyHead, settings: Settings, train: Corpus, dev: Corpus) -> None:
        if settings.longest_seconds is not None:
            train = joined([part.at_most(settings.longest_seconds) for part in train.parts])
        self.model, self.settings, self.train_corpus, self.dev = model, settings, train, dev
        self.dataset = LabeledBatches(train.parts, settings, fill=True)
        model.wav2vec2.feature_extractor.requires_grad_(not settings.freeze_encoder)
        frozen = settings.freeze_encoder or settings.freeze_encoder_updates > 0
        whole = settings.crop_seconds is None and model.config.feat_extract_norm == "layer"
        cached = frozen and whole and train.hours <= CACHED_HOURS
        self.encoder_cache = FrozenEncoderCache(model.wav2vec2) if cached else None

    # --- what a subclass adds -----------------------------------------------------------------------------------------

    @classmethod
    def begin(cls, start: str, settings: Settings, train: Corpus, dev: Corpus) -> Finetuning[Settings]:
        """The task with a new head on a checkpoint, or on random weights for "scratch".

        Raises:
            CheckpointError, ConfigError: as for `begin_finetuning`.
        """
        raise NotImplementedError

    def items(self, utterances: Sequence[Utterance]) -> int:
        """By how many things the summed loss is divided: utterances, unless a task counts otherwise."""
        return len(utterances)

    def losses(self, model: nn.Module, micro_batch: MicroBatch) -> Losses:
        """Run the model, and compare with what is known of the utterances: the loss, summed over the items."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Metrics on the dev speakers; leaves the model in training mode."""
        raise NotImplementedError

    # --- what every task does -----------------------------------------------------------------------------------------

    def layers(self) -> list[list[nn.Parameter]]:
        """The weights in layers from the top down: head, Transformer layers, what lies below them, feature encoder."""
        base = self.model.wav2vec2
        context = base.encoder
        head = [p for name, p in self.model.named_parameters() if not name.startswith("wav2vec2.")]
        below = [base.masked_spec_embed, *base.feature_projection.parameters()]
        below += [*context.pos_conv_embed.parameters(), *context.layer_norm.parameters()]
        blocks = [list(layer.parameters()) for layer in reversed(context.layers)]
        encoder = [] if self.settings.freeze_encoder else [list(base.feature_extractor.parameters())]
        return [head, *blocks, below, *encoder]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group a layer; each learns by `rate_decay` more slowly than the one above it (ULMFiT, Section 3.2)."""
        decay = self.settings.rate_decay
        return [{"params": layer, "factor": decay**depth} for depth, layer in enumerate(self.layers())]

    def trained_layers(self, update: int) -> int:
        """How many layers, from the top, an update trains: the head, later more and more of the others, or all."""
        s, layers = self.settings, len(self.layers())
        if update < s.freeze_context_updates:
            return 1
        if not s.freeze_encoder and update < s.freeze_encoder_updates:
            layers -= 1
        if s.unfreeze_every == 0:
            return layers
        return min(layers, 2 + (update - s.freeze_context_updates) // s.unfreeze_every)

    def freeze(self, update: int) -> None:
        """Let gradients flow to the layers that this update trains, and to no other."""
        trained = self.trained_layers(update)
        for depth, layer in enumerate(self.layers()):
            for parameter in layer:
                parameter.requires_grad_(depth < trained)

    def prepare(self, batch: Batch, update: int, generator: torch.Generator) -> UpdateInputs:
        """Freeze what is not trained yet, draw the masks, and cut out what this process needs.

        Every process draws the same numbers for the whole batch, so that how many there are does not change the result.
        With as many micro-batches as corpora, no short utterance is padded to a long one of another corpus.
        """
        self.freeze(update)
        s, shape, device = self.settings, self.model.config, generator.device
        cache = self.encoder_cache if s.freeze_encoder or update < s.freeze_encoder_updates else None
        per_frame = shape.feat_extract_norm == "layer"  # group norm's mean and variance run over the padding, too
        frames = shape.frame_lengths(lengths := batch.attention_mask.sum(dim=1)).to(device)  # (B,)
        channels = torch.full_like(frames, shape.hidden_size)  # (B,)
        mask_time = spans(frames, s.mask_time_prob, s.mask_time_length, generator)  # (B, T)
        mask_features = spans(channels, s.mask_feature_prob, s.mask_feature_length, generator)  # (B, D)
        own = own_share(s.batch_size)
        micro_batches = []
        for first in range(own.start, own.start + s.accumulate):
            here = slice(first, own.stop, s.accumulate)  # where corpora take turns, those of one corpus
            samples = int(lengths[here].max()) if per_frame else batch.input_values.shape[1]
            input_values = batch.input_values[here, :samples].to(device)
            inputs = {
                "input_values": input_values,
                "attention_mask": batch.attention_mask[here, :samples].to(device),
                "mask_time_indices": mask_time[here, : shape.frame_lengths(samples)],
                "mask_feature_indices": mask_features[here],
                "latents": None if cache is None else cache(input_values),
            }
            micro_batches.append(MicroBatch(inputs, batch.utterances[here]))
        return UpdateInputs(micro_batches, self.items(batch.utterances), int(lengths.sum()) / SAMPLE_RATE / 3600)

    def compile(self) -> None:
        """Compile the feature encoder: it has most of the small operations that compilation joins."""
        self.model.wav2vec2.feature_extractor.compile()

    def adjust_gradients(self) -> None:
        """Nothing to change."""

    def schedules(self, update: int) -> dict[str, float]:
        """How many layers learn, counted from the top."""
        return {"trained_layers": self.trained_layers(update)}

    def export(self, folder: Path) -> None:
        """Write what `from_pretrained` loads."""
        self.model.save_pretrained(folder)

    def fingerprint(self) -> dict[str, Any]:
        """The task, the model's configuration and the speech."""
        corpora = {name: repr(corpus) for name, corpus in (("train", self.train_corpus), ("dev", self.dev))}
        return {"objective": type(self).__name__, "config": self.model.config.to_dict(), **corpora}
