"""Figures. Every function takes numbers that something else computed and returns a matplotlib `Figure`.

`times` (T,) are always the centers of the frames, in seconds. A notebook shows a figure with `display.show(figure,
alt)`. One module per part of the course; what several parts draw (waveforms, spectrograms, phone and word labels)
is in `speech`.
"""

from w2v2_teach.course.plots.style import COLORS, use_style
from w2v2_teach.course.plots.system_map import PARTS, system_map

__all__ = ["COLORS", "PARTS", "system_map", "use_style"]
