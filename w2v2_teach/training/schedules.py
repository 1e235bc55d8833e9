"""What changes from update to update: the learning rate, the Gumbel temperature, the seed."""

import numpy as np

from w2v2_teach.training.settings import TrainingSettings


def learning_rate(settings: TrainingSettings, update: int) -> float:
    """The rate of update 0, 1, …: up in a line, held at the peak, down in a line.

    Without a hold it is the schedule of pre-training (Section 4.2), with one the tri-stage schedule of fine-tuning
    (Section 4.3), and with a floor of 1/32 the slanted triangle of ULMFiT (arXiv 1801.06146, equation 3).
    """
    falls_from = settings.warmup_updates + settings.hold_updates
    if update < settings.warmup_updates:
        height = (update + 1) / settings.warmup_updates
    elif update < falls_from:
        height = 1.0
    else:
        height = (settings.updates - update) / max(1, settings.updates - falls_from)
    return settings.learning_rate * (settings.rate_floor + (1 - settings.rate_floor) * height)


def gumbel_temperature(update: int, start: float, decay: float, minimum: float) -> float:
    """τ = max(start · decay^update, minimum) (Section 4.2: from 2, by 0.999995, to 0.5)."""
    return max(start * decay**update, minimum)


def seed_of(*numbers: int) -> int:
    """One seed out of several numbers, none of which can be told from it."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
