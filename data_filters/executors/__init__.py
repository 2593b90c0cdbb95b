"""Where the tasks of a pipeline run: in processes of this machine, as jobs of Slurm, or as tasks of Ray."""
