"""Learning-rate schedules, by `torch.optim.lr_scheduler`'s names.

A schedule changes the `lr` of its optimizer's groups at each `step()`, be that an epoch or a batch. Most compute the
new rate from the present one, so that several can be chained on one optimizer.
"""

from tinytrain.optim.lr_scheduler.base import *
from tinytrain.optim.lr_scheduler.combined import *
from tinytrain.optim.lr_scheduler.cyclic import *
from tinytrain.optim.lr_scheduler.decay import *
from tinytrain.optim.lr_scheduler.plateau import *
