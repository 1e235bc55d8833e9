"""`w2v2-teach download NAME`"""

from argparse import ArgumentParser, Namespace

from w2v2_teach.checkpoints import architecture, pretrained_file
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech import published
from w2v2_teach.speech.mini_librispeech import mini_librispeech

CORPORA = {"fsdd": published.fsdd, "librosa": published.librosa_excerpts, "mini-librispeech": mini_librispeech}


def add_options(parser: ArgumentParser) -> None:
    """What to fetch."""
    parser.description = "Fetch a corpus or a published checkpoint: verified, cached, resumed where it was interrupted."
    parser.add_argument(
        "name", metavar="NAME", help=f"{', '.join(CORPORA)}, or a hub id such as facebook/wav2vec2-base"
    )
    parser.set_defaults(run=download, error=parser.error)


def download(options: Namespace) -> None:
    """Fetch it, unless it is on this machine already, and print what it is."""
    if options.name in CORPORA:
        print(CORPORA[options.name](download=True))
    elif "/" in options.name:
        print(download_checkpoint(options.name))
    else:
        options.error(
            f"{options.name} is neither a corpus ({', '.join(CORPORA)}) nor a hub id such as facebook/wav2vec2-base"
        )


def download_checkpoint(name: str) -> str:
    """Fetch what `from_pretrained` reads, and say what it is."""
    kind = architecture(name, download=True)
    model = Wav2Vec2Model.from_pretrained(name, download=True)
    if kind == Wav2Vec2ForCTC.__name__:
        pretrained_file(name, "vocab.json", download=True)
    return f"{name}: {kind}, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters"
