"""One look for the whole course: large type for the back row, and colors that color-blind readers can tell apart."""

import matplotlib as mpl
import seaborn as sns

# Okabe and Ito's colors (jfly.uni-koeln.de/color), by their part in the course.
COLORS = {
    "x": "#56B4E9",  # waveform
    "z": "#E69F00",  # latent frames
    "q": "#009E73",  # quantized targets
    "c": "#0072B2",  # context
    "loss": "#CC79A7",
    "lit": "#D55E00",  # what a figure points at
    "muted": "#999999",
}
# One look per line of a figure, (color, dash, marker): never told apart by color alone.
LINES = [(COLORS["c"], "-", "o"), (COLORS["lit"], "--", "s"), (COLORS["q"], "-.", "^")]
SEQUENTIAL = "viridis"  # for amounts: spectrograms, attention
DIVERGING = "RdBu_r"  # for signed values, centered on zero


def use_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    sns.set_theme(style="ticks", palette=[COLORS[k] for k in ("c", "z", "q", "loss", "x", "lit")])
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.figsize": (10, 4),
            "figure.constrained_layout.use": True,
            "font.size": 14,
            "axes.titlesize": 16,
            "axes.labelsize": 14,
            "xtick.labelsize": 13,
            "ytick.labelsize": 13,
            "legend.fontsize": 13,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.cmap": SEQUENTIAL,
            "image.aspect": "auto",
            "image.interpolation": "nearest",
        }
    )
