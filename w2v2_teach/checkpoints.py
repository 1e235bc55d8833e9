"""Models to disk and back, in Hugging Face's format: `config.json` and `model.safetensors` (or `pytorch_model.bin`)."""

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from w2v2_teach.config import ConfigError, Wav2Vec2Config
from w2v2_teach.errors import CourseError
from w2v2_teach.files import DATA, replacing

CONFIG_FILE = "config.json"
INDEX = ".index.json"  # a large checkpoint is cut into several files, which this one lists
WEIGHTS_FILES = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
SHIPPED = DATA / "checkpoints"  # the small models that come with the course
BASE_PREFIX = "wav2vec2."  # where a model with a head keeps the base model
MAY_BE_MISSING = {
    "masked_spec_embed",
    "wav2vec2.masked_spec_embed",
}  # checkpoints that were fine-tuned without masking do not have it
RENAMED = {  # how the keys of older checkpoints end → today's name
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
    "mask_time_emb_vector": "masked_spec_embed",  # in facebook/wav2vec2-base-100h
}
Model = TypeVar("Model", bound="Pretrained")


class CheckpointError(CourseError, ValueError):
    """A checkpoint that is not there, is damaged, or does not fit; the message names the file and the key."""


class Pretrained(nn.Module):
    """A model with a `config` that can be loaded from a checkpoint and saved as one."""

    config: Wav2Vec2Config

    @classmethod
    def from_pretrained(cls: type[Model], name: str | Path, download: bool = False) -> Model:
        """Build the model that a checkpoint describes and load its weights, for inference.

        `Wav2Vec2Model` leaves the weights of a checkpoint's head aside; a model with a head needs them.

        Args:
            name: a folder, a checkpoint of the course such as `tiny-pretrained`, or a hub id such as
                `facebook/wav2vec2-base`.
            download: may the hub be asked? Without it, only a folder or what an earlier download left in the cache.

        Raises:
            CheckpointError: nothing there, no network, a damaged file, a key that is missing, unknown, of another
                shape or not finite.
            ConfigError: a configuration that this model does not support.
        """
        config_path = pretrained_file(name, CONFIG_FILE, download=download)
        try:
            model = cls(Wav2Vec2Config.from_dict(_read_json(config_path)))
        except ConfigError as error:
            raise ConfigError(f"{config_path}: {error}") from error
        weights_path = pretrained_file(name, *WEIGHTS_FILES, download=download)
        weights: dict[str, Tensor] = {}
        for path in _weights_files(name, weights_path, download):
            weights |= read_weights(path)
        if not hasattr(model, BASE_PREFIX.rstrip(".")):
            weights = _base_weights(weights)
        return model.load_weights(weights, weights_path)

    def load_weights(self: Model, weights: dict[str, Tensor], source: Path) -> Model:
        """Take the weights, by their names, which come from the file `source`; returns the model, for inference.

        Raises:
            CheckpointError: a key that is missing, unknown, or of another shape.
        """
        _check_fit(self, weights, source)
        self.load_state_dict(weights, strict=False)  # strict but for MAY_BE_MISSING, which has been checked
        return self.eval()

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `model.safetensors`; each file appears whole or not at all.

        Args:
            folder: made if it is not there.
            dtype: of the weights in the file; half precision halves it. Loading brings single precision back.

        Raises:
            CheckpointError: the folder cannot be written to, or the disk is full.
        """
        folder = Path(folder)
        content = {"architectures": [type(self).__name__], **self.config.to_dict()}
        weights = {key: tensor.detach().cpu().to(dtype).contiguous() for key, tensor in self.state_dict().items()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / CONFIG_FILE) as partial:
                partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            with replacing(folder / WEIGHTS_FILES[0]) as partial:
                save_file(weights, partial, metadata={"format": "pt"})
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"the model cannot be written to {folder}: {error}.") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of one weights file, under today's names.

    Raises:
        CheckpointError: the file is truncated or is no weights file, or a weight is NaN or infinite.
    """
    try:
        weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise CheckpointError(f"{path} cannot be read: it is truncated, or holds more than plain weights.") from error
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path} holds a {type(weights).__name__}, not weights by name.")
    for key, tensor in weights.items():
        is_dense = isinstance(tensor, Tensor) and tensor.layout is torch.strided
        if not (isinstance(key, str) and is_dense and tensor.is_floating_point()):
            raise CheckpointError(f"{path} holds more than weights: {key!r} is no tensor of floating-point numbers.")
        if not tensor.float().isfinite().all():
            raise CheckpointError(f"{path}: {key} has values that are NaN or infinite; get another copy or checkpoint.")
    return {current_name(key): tensor for key, tensor in weights.items()}


def current_name(key: str) -> str:
    for old, new in RENAMED.items():
        if key.endswith(old):
            return key.removesuffix(old) + new
    return key


def _base_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
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


def architecture(name: str | Path, download: bool = False) -> str:
    """The class of a checkpoint's model, as its configuration names it; raises CheckpointError where there is none."""
    path = pretrained_file(name, CONFIG_FILE, download=download)
    try:
        return _read_json(path)["architectures"][0]
    except (KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{path} does not name the model's class in `architectures`.") from error


def pretrained_file(name: str | Path, *candidates: str, download: bool = False) -> Path:
    """The path of a file of a checkpoint, such as its `vocab.json`, or of the first of several that there is.

    `name` and `download` are as in `from_pretrained`.

    Raises:
        CheckpointError: it is not there.
    """
    folders = (Path(name), SHIPPED / name)  # the reader's, or one that comes with the course
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        return _hub_file(str(name), candidates, download)
    for file in candidates:
        if (folder / file).is_file():
            return folder / file
    raise CheckpointError(f"{folder} has no {' or '.join(candidates)}.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object of names and values.")
    return content


def _weights_files(name: str | Path, path: Path, download: bool) -> list[Path]:
    """The file itself, or the files that an index names."""
    if not path.name.endswith(INDEX):
        return [path]
    weight_map = _read_json(path).get("weight_map")  # weight → file
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise CheckpointError(f"{path} has no `weight_map` that names the file of each weight.")
    return [pretrained_file(name, file, download=download) for file in sorted(set(weight_map.values()))]


def _hub_file(name: str, candidates: tuple[str, ...], download: bool) -> Path:
    """The first of `candidates` that there is, from the cache or, if allowed, from the hub (with a progress bar)."""
    from huggingface_hub import hf_hub_download  # only here: a model that is on this machine needs no hub
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    shipped = ", ".join(sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
    unknown = CheckpointError(
        f"{name} is neither a folder, a checkpoint of the course ({shipped}), nor a hub id such as "
        "facebook/wav2vec2-base."
    )
    if "/" not in name:
        raise unknown
    for file in candidates:
        try:
            return Path(hf_hub_download(name, file, local_files_only=not download))
        except HFValidationError as error:
            raise unknown from error
        except LocalEntryNotFoundError as error:  # not in the cache, and the hub not asked or not reached
            if download:
                raise CheckpointError(
                    f"{name}/{file} cannot be fetched: no answer from the hub. Is there a network?"
                ) from error
        except EntryNotFoundError:  # the hub knows the checkpoint, but not this file
            continue
        except OSError as error:  # another answer of the hub, or a cache that cannot be written to
            raise CheckpointError(f"{name}/{file} cannot be fetched: {error}") from error
    wanted = " or ".join(candidates)
    if download:
        raise CheckpointError(f"{name} on the hub has no {wanted}.")
    raise CheckpointError(
        f"{name} is no folder, and its {wanted} is not in the cache: fetch it with `w2v2-teach download {name}` "
        "or with download=True."
    )
