"""Before step 1: is every host of the allocation fit for training, and if not, which one is to blame?

    launch/torchrun.sh preflight RECIPE [options]      on every host, as for a training stage

Each rank tells where it is in a file (`presence`) and what its host is like (`gathering`, `gpus`) on a board that all
ranks read (`board`); then they measure clocks and the shared folder (`measuring`) and bandwidth (`bandwidth`) together.
Rank 0 judges (`judgement`) and writes the record that `record.read_record` reads. `check` is the way through all of it.
"""
