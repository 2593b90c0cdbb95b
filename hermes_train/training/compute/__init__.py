"""How a step computes: attention paths, kernels, the loss, and what they cost."""
