"""Passes that keep the function and leave fewer, plainer nodes; each is checked on real samples when it has run."""

from snnconvert.fold.affine import FoldAffine
from snnconvert.fold.ceiling import SplitCeilings
from snnconvert.fold.identity import RemoveIdentity
from snnconvert.fold.max_pool import MovePoolBeforeActivation, MovePoolBehindActivation, pools_averaged
from snnconvert.fold.reshape import MergeReshapes
from snnconvert.fold.shortcut import FoldShortcut
from snnconvert.fold.sum import DistributeSum
from snnconvert.graph import Pass

PASSES: tuple[Pass, ...] = (
    RemoveIdentity(),  # first, so that the others see what is really connected
    DistributeSum(),  # before constants are folded: it takes them apart too
    FoldAffine(),  # before pools move: a batch norm may stand between a convolution and its pool
    MergeReshapes(),  # what stood around a batch norm is left over now
    MovePoolBehindActivation(),
    FoldShortcut(),  # last: it only looks at what is left in front of a sum
)

__all__ = [
    "PASSES",
    "DistributeSum",
    "FoldAffine",
    "FoldShortcut",
    "MergeReshapes",
    "MovePoolBeforeActivation",
    "MovePoolBehindActivation",
    "RemoveIdentity",
    "SplitCeilings",
    "pools_averaged",
]
