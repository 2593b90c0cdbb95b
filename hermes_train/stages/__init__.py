"""One file per stage: each takes its section of the recipe and the run folder."""
