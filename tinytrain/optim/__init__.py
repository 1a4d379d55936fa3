"""Update rules and learning-rate schedules, by `torch.optim`'s names."""

from tinytrain.optim import lr_scheduler
from tinytrain.optim.adam import Adam, AdamW, NAdam, RAdam
from tinytrain.optim.optimizer import Optimizer
from tinytrain.optim.rms import Adagrad, RMSprop
from tinytrain.optim.sgd import SGD, Lion
from tinytrain.registry import Registry

OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer")
for _optimizer in (SGD, Adam, AdamW, NAdam, RAdam, RMSprop, Adagrad, Lion):
    OPTIMIZERS.register(_optimizer.__name__.lower())(_optimizer)

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
]
