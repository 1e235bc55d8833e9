"""`w2v2-teach convert FILE FOLDER`"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from w2v2_teach.checkpoints import CheckpointError, Pretrained
from w2v2_teach.conversion import FAIRSEQ_SPECIAL, Converted, convert
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model

MODELS: dict[str, type[Pretrained]] = {
    model.__name__: model for model in (Wav2Vec2Model, Wav2Vec2ForPreTraining, Wav2Vec2ForCTC)
}


def add_options(parser: ArgumentParser) -> None:
    """Where from, and where to."""
    parser.description = (
        "Write a checkpoint of fairseq (.pt) or torchaudio (.pth) as a folder in Hugging Face's format."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the checkpoint; nothing in it is executed")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write; made if it is not there")
    parser.add_argument(
        "--dictionary", type=Path, metavar="FILE", help="fairseq's dict.ltr.txt, where the checkpoint has no letters"
    )
    parser.set_defaults(run=write)


def write(options: Namespace) -> None:
    """Convert it, check that nothing is missing or left over, write it, and print what it is."""
    converted = convert(options.file)
    model = MODELS[converted.architecture](converted.config).load_weights(converted.weights, options.file)
    vocabulary = None
    if isinstance(model, Wav2Vec2ForCTC):
        vocabulary = vocabulary_of(converted, options.file, options.dictionary)
    model.save_pretrained(options.folder)
    if vocabulary is not None:
        vocabulary.save(options.folder)
    size = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{options.folder}: {converted.architecture}, {size:.1f} million parameters")


def vocabulary_of(converted: Converted, file: Path, dictionary: Path | None) -> Vocabulary:
    """The letters of a recognizer, from its file or from a dictionary beside it: a line a token, "E 51860".

    Raises:
        CheckpointError: nobody tells them, or they are not as many as the head has outputs.
        VocabularyError: tokens that are no letters.
    """
    tokens = converted.tokens
    if dictionary is not None:
        lines = dictionary.read_text(encoding="utf-8").splitlines()
        tokens = (*FAIRSEQ_SPECIAL, *(line.split()[0] for line in lines if line.strip()))
    if not tokens:
        raise CheckpointError(f"{file} does not tell its letters: give fairseq's dict.ltr.txt with --dictionary.")
    if len(tokens) != converted.config.vocab_size:
        raise CheckpointError(
            f"{dictionary or file} has {len(tokens)} tokens; the head of {file} has {converted.config.vocab_size}."
        )
    return Vocabulary(tokens)
