"""What the three training stages share: models, ZeRO, checkpoints, trainers."""
