"""One try of a training stage in a Slurm job: check the nodes, start the ranks, and decide what comes after."""
