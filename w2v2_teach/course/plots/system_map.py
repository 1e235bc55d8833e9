"""The map of the whole system (arXiv 2006.11477, Figure 1) with one part lit: every notebook opens with it."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from w2v2_teach.course.plots.style import COLORS, subplots

Box = tuple[float, float, float, str, str, str]  # x, y, width, first line, second line, color
PARTS: dict[str, Box] = {
    "waveform": (0.0, 1.0, 1.7, "waveform", "x  (B, L)", "x"),
    "feature encoder": (2.3, 1.0, 2.1, "feature encoder", "z  (B, T, C)", "z"),
    "masking": (5.0, 1.85, 1.7, "masking", "p, M", "muted"),
    "context network": (7.3, 1.85, 2.1, "context network", "c  (B, T, D)", "c"),
    "quantizer": (6.0, 0.15, 2.1, "quantizer", "q  (B, T, ·)", "q"),
    "contrastive loss": (10.1, 0.15, 2.2, "contrastive loss", "find q among K", "loss"),
    "heads": (10.1, 1.85, 2.2, "fine-tuning heads", "CTC, speaker, …", "loss"),
}
HEIGHT = 0.95
ARROWS = [
    ("waveform", "feature encoder"),
    ("feature encoder", "masking"),
    ("feature encoder", "quantizer"),
    ("masking", "context network"),
    ("context network", "heads"),
    ("context network", "contrastive loss"),
    ("quantizer", "contrastive loss"),
]


def system_map(*lit: str) -> Figure:
    """The system as boxes and arrows; the parts named in `lit` (keys of `PARTS`) stand out, none lit means all do.

    Raises:
        KeyError: a part that is not on the map.
    """
    for part in lit:
        if part not in PARTS:
            raise KeyError(f"{part!r} is not on the map; its parts are {', '.join(PARTS)}.")
    figure, ax = subplots(11, 2.9)
    look = {"arrowstyle": "-|>", "mutation_scale": 16, "linewidth": 1.5, "color": "#555555", "shrinkA": 2, "shrinkB": 2}
    for (x0, y0, width, *_), (x1, y1, *_) in ((PARTS[start], PARTS[end]) for start, end in ARROWS):
        middle = HEIGHT / 2  # from the right edge of one box to the left edge of another
        ax.annotate("", (x1, y1 + middle), (x0 + width, y0 + middle), arrowprops=look, zorder=0)
    for part, (x, y, width, title, symbol, color) in PARTS.items():
        on = part in lit or not lit
        box = FancyBboxPatch(
            (x, y), width, HEIGHT, boxstyle="round,pad=0,rounding_size=0.12", linewidth=3 if part in lit else 1.5,
            edgecolor=COLORS["lit"] if part in lit else COLORS[color],
            facecolor=COLORS[color] if on else "white", alpha=1.0 if on else 0.55,
        )  # fmt: skip
        ax.add_patch(box)
        ink = "white" if on and color in ("c", "q") else "black" if on else "#555555"
        weight = "bold" if part in lit else "normal"
        ax.text(x + width / 2, y + 0.62, title, ha="center", va="center", fontsize=13, weight=weight, color=ink)
        ax.text(x + width / 2, y + 0.28, symbol, ha="center", va="center", fontsize=12, color=ink)
    ax.set(xlim=(-0.1, 12.4), ylim=(0.0, 2.95))
    ax.axis("off")
    return figure
