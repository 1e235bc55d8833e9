"""Fine-tuning on labels: what an update draws, freezes, computes and reports (Sections 3.3, 4.3)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from w2v2_teach import config
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.heads import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2ForSpeakerVerification
from w2v2_teach.masking import span_mask
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.batching import Batch
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import Corpus, Utterance
from w2v2_teach.tasks.crops import LabeledBatches
from w2v2_teach.tasks.encoder_cache import FrozenEncoderCache
from w2v2_teach.tasks.settings import FinetuningSettings
from w2v2_teach.training.distributed import own_share
from w2v2_teach.training.settings import ADAM, SettingsError
from w2v2_teach.training.task import Losses, UpdateInputs

AnyHead = Wav2Vec2ForCTC | Wav2Vec2ForSequenceClassification | Wav2Vec2ForSpeakerVerification
Model = TypeVar("Model", bound=AnyHead)
Settings = TypeVar("Settings", bound="FinetuningSettings")


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
    def begin(cls, start: str, settings: Settings, train: Corpus, dev: Corpus) -> "Finetuning[Settings]":
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
