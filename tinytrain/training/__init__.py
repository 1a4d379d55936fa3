"""Training, evaluation and the run folder; knows neither YAML nor the terminal."""

from tinytrain.training.divergence import DivergenceError
from tinytrain.training.evaluation import evaluate
from tinytrain.training.events import EpochResult, Events
from tinytrain.training.experiment import Experiment
from tinytrain.training.loop import RunResult, train
from tinytrain.training.metrics import Meter, Scores
from tinytrain.training.mistakes import Mistake, worst_mistakes
from tinytrain.training.profiling import profile_training
from tinytrain.training.run_folder import RunFolder

__all__ = [
    "DivergenceError",
    "EpochResult",
    "Events",
    "Experiment",
    "Meter",
    "Mistake",
    "RunFolder",
    "RunResult",
    "Scores",
    "evaluate",
    "profile_training",
    "train",
    "worst_mistakes",
]
