"""What is watched while a stage trains: losses, ranks, signals, figures, the log."""
