import numpy as np
import pytest

from hermes_train.packing.dataset import Dealing, StepSampler
from hermes_train.packing.node_share import NodeShare

PACKS, SEED = 40, 5
WORKS = np.random.default_rng(0).integers(1, 1000, PACKS)

DEALINGS = [
    # Ranks that are dealt packs, packs in a micro-batch, micro-steps, ranks that share a pack, ranks of a node.
    (Dealing(1, 1, 4), 1, 1),
    (Dealing(4, 1, 2), 1, 2),
    (Dealing(4, 2, 1), 1, 4),
    (Dealing(2, 1, 4), 2, 2),
    (Dealing(2, 1, 2), 4, 2),
    (Dealing(4, 1, 1), 2, 4),
]


def packs_read(dealing, copies, rank, steps):
    """What the sampler gives a rank in these steps: of the micro-batches b those with b % ranks = rank."""
    per_epoch = PACKS // dealing.global_batch
    all_ranks = dealing.ranks * copies
    read = set()
    for step in steps:
        epoch, position = divmod(step, per_epoch)
        rows = list(StepSampler(PACKS, SEED, dealing, lambda e=epoch: e * per_epoch, WORKS, copies))
        micro_batches = np.reshape(rows, (per_epoch, dealing.micro_steps, all_ranks, dealing.micro_batch))
        read |= set(micro_batches[position, :, rank].ravel().tolist())
    return read


@pytest.mark.parametrize(("dealing", "copies", "node"), DEALINGS)
@pytest.mark.parametrize("steps", [range(3), range(2, 5), range(4, 13), range(6, 6)])
def test_a_node_reads_exactly_what_the_sampler_deals_to_its_ranks(dealing, copies, node, steps):
    for first in range(0, dealing.ranks * copies, node):
        own = range(first, first + node)
        expected = set().union(*(packs_read(dealing, copies, rank, steps) for rank in own))

        packs = NodeShare(SEED, dealing, copies, own, steps.start, steps.stop).packs(WORKS)

        assert packs.tolist() == sorted(expected)
