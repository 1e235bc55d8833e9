"""Models to disk and back, in Hugging Face's format: `config.json` and `model.safetensors` (or `pytorch_model.bin`)."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from w2v2_teach.config import ConfigError, Wav2Vec2Config
from w2v2_teach.errors import CourseError
from w2v2_teach.files import DATA, replacing

CONFIG_FILE, WEIGHTS_FILES = "config.json", ("model.safetensors", "pytorch_model.bin")
SHIPPED = DATA / "checkpoints"  # the small models that come with the course
BASE_PREFIX = "wav2vec2."  # where a model with a head keeps the base model
MAY_BE_MISSING = {
    "masked_spec_embed",
    "wav2vec2.masked_spec_embed",
}  # checkpoints that were fine-tuned without masking do not have it
Model = TypeVar("Model", bound=nn.Module)


class CheckpointError(CourseError, ValueError):
    """A checkpoint that is not there, is damaged, or does not fit; the message names the file and the key."""


class Pretrained(nn.Module):
    """What every model of the course can do: come from a checkpoint, and become one."""

    config: Wav2Vec2Config

    @classmethod
    def from_pretrained(cls: type[Model], name: str | Path, download: bool = False) -> Model:
        """Load a folder, a checkpoint of the course or a hub id; see `load_pretrained`."""
        return load_pretrained(cls, name, download=download)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `model.safetensors`; see the function `save_pretrained`."""
        save_pretrained(self, folder, dtype)


def load_pretrained(model_class: Callable[[Wav2Vec2Config], Model], name: str | Path, download: bool = False) -> Model:
    """Build the model that a checkpoint describes and fill it, or raise and return nothing.

    Args:
        model_class: `Wav2Vec2Model`, which leaves the weights of a checkpoint's head aside, or a model with that head.
        name: a folder, a checkpoint of the course such as `tiny-pretrained`, or a hub id such as
            `facebook/wav2vec2-base`.
        download: may the hub be asked? Without it, only a folder or what an earlier download left in the cache.

    Raises:
        CheckpointError: nothing there, no network, a damaged file, a key that is missing, unknown or of another shape.
        ConfigError: a configuration that this model does not support.
    """
    config_path, weights_path = _locate(name, download)
    try:
        config = Wav2Vec2Config.from_dict(json.loads(config_path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{config_path} is not JSON: {error}.") from error
    except ConfigError as error:
        raise ConfigError(f"{config_path}: {error}") from error
    model = model_class(config)
    weights = read_weights(weights_path)
    if not hasattr(model, BASE_PREFIX.rstrip(".")):
        weights = base_weights(weights)
    _check_fit(model, weights, weights_path)
    model.load_state_dict(weights, strict=False)  # strict but for MAY_BE_MISSING, which has been checked
    return model.eval()


def save_pretrained(model: nn.Module, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the model's configuration and weights; each file appears whole or not at all.

    Args:
        model: with a `config`.
        folder: made if it is not there.
        dtype: of the weights in the file; half precision halves it. Loading brings single precision back.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"architectures": [type(model).__name__], **model.config.to_dict()}
    with replacing(folder / CONFIG_FILE) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    weights = {key: tensor.detach().cpu().to(dtype).contiguous() for key, tensor in model.state_dict().items()}
    with replacing(folder / WEIGHTS_FILES[0]) as partial:
        save_file(weights, partial, metadata={"format": "pt"})


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file, under today's names of the weight-normalized convolution.

    Raises:
        CheckpointError: the file is truncated or is no weights file.
    """
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read: it is truncated, or holds more than plain weights.") from error
    return {_todays_name(key): tensor for key, tensor in weights.items()}


def _todays_name(key: str) -> str:
    for old, part in (("conv.weight_g", "original0"), ("conv.weight_v", "original1")):
        key = key.replace(old, f"conv.parametrizations.weight.{part}")
    return key


def base_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the base model alone: where they have a prefix, what is outside it belongs to a head."""
    if not any(key.startswith(BASE_PREFIX) for key in weights):
        return weights
    return {key.removeprefix(BASE_PREFIX): tensor for key, tensor in weights.items() if key.startswith(BASE_PREFIX)}


def _check_fit(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    missing = expected.keys() - weights.keys() - MAY_BE_MISSING
    if missing:
        raise CheckpointError(f"{path} lacks {_some(missing)}.")
    unknown = weights.keys() - expected.keys()
    if unknown:
        raise CheckpointError(f"{path} has {_some(unknown)}, which this model does not know.")
    for key, tensor in weights.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(
                f"{path}: {key} has shape {tuple(tensor.shape)}; the configuration asks for "
                f"{tuple(expected[key].shape)}."
            )


def _some(keys: set[str]) -> str:
    first, *rest = sorted(keys)
    return f"{first} and {len(rest)} more" if rest else first


def _locate(name: str | Path, download: bool) -> tuple[Path, Path]:
    """Paths of the configuration and of the weights, in a folder or in the hub's cache."""
    folder = _folder(name)
    if folder is not None:
        for file in WEIGHTS_FILES:
            if (folder / CONFIG_FILE).is_file() and (folder / file).is_file():
                return folder / CONFIG_FILE, folder / file
        raise CheckpointError(f"{folder} needs {CONFIG_FILE} and one of {', '.join(WEIGHTS_FILES)}.")
    config = _hub_file(name, (CONFIG_FILE,), download)
    return config, _hub_file(name, WEIGHTS_FILES, download)  # an older checkpoint has no safetensors


def architecture(name: str | Path, download: bool = False) -> str:
    """The class of a checkpoint's model, as its configuration names it; raises CheckpointError where there is none."""
    path = pretrained_file(name, CONFIG_FILE, download)
    try:
        return json.loads(path.read_text(encoding="utf-8"))["architectures"][0]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{path} does not name the model's class in `architectures`.") from error


def pretrained_file(name: str | Path, file: str, download: bool = False) -> Path:
    """The path of another file of a checkpoint, such as its `vocab.json`.

    Raises:
        CheckpointError: it is not there.
    """
    folder = _folder(name)
    if folder is None:
        return _hub_file(name, (file,), download)
    if not (folder / file).is_file():
        raise CheckpointError(f"{folder} has no {file}.")
    return folder / file


def _folder(name: str | Path) -> Path | None:
    """The reader's folder, or the one of a checkpoint that comes with the course."""
    return next((folder for folder in (Path(name), SHIPPED / name) if folder.is_dir()), None)


def _hub_file(name: str | Path, candidates: tuple[str, ...], download: bool) -> Path:
    """The first of `candidates` that there is, from the cache or, if allowed, from the hub (with a progress bar)."""
    for file in candidates:
        try:
            return Path(hf_hub_download(str(name), file, local_files_only=not download))
        except HFValidationError as error:
            raise CheckpointError(f"{name} is neither a folder nor a hub id such as facebook/wav2vec2-base.") from error
        except LocalEntryNotFoundError as error:  # not in the cache, and the hub not asked or not reached
            if download:
                raise CheckpointError(
                    f"{name}/{file} cannot be fetched: no answer from the hub. Is there a network?"
                ) from error
        except EntryNotFoundError:  # the hub knows the checkpoint, but not this file
            continue
        except HfHubHTTPError as error:
            raise CheckpointError(f"{name}/{file} cannot be fetched: {error}") from error
    wanted = " or ".join(candidates)
    if download:
        raise CheckpointError(f"{name} on the hub has no {wanted}.")
    raise CheckpointError(f"{name} is no folder, and its {wanted} is not in the cache; download=True asks the hub.")
