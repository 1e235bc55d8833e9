"""What pre-training and fine-tuning add to the settings of every training."""

from dataclasses import dataclass
from typing import Any

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.speech.audio import MIN_SAMPLES
from w2v2_teach.training.settings import TrainingSettings, setting


@dataclass(frozen=True)
class PretrainingSettings(TrainingSettings):
    """`TrainingSettings`, and what pre-training has of its own. The defaults are BASE's."""

    speed: float = setting(0.0, "how far a crop's speed, and with it its pitch, may change: 0.1 for 10 % up or down")
    crop_seconds: float = setting(15.6, "longest piece of an utterance that is heard at once, in seconds")
    temperature_start: float = setting(2.0, "Gumbel temperature of the first update")
    temperature_decay: float = setting(0.999995, "factor on it after every update")
    temperature_min: float = setting(0.5, "where it stops falling")
    encoder_gradient: float = setting(0.1, "factor on the feature encoder's gradient")
    feature_penalty: float = setting(10.0, "weight of mean(z²), the encoder's squared outputs")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop_seconds", "temperature_start", "temperature_min"):
            self.require(name, getattr(self, name) > 0, "more than 0")
        self.require("speed", 0 <= self.speed < 1, "in [0, 1)")
        self.require("temperature_decay", 0 < self.temperature_decay <= 1, "in (0, 1]")
        for name in ("encoder_gradient", "feature_penalty"):
            self.require(name, getattr(self, name) >= 0, "0 or more")


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
