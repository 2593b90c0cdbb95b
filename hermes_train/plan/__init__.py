"""Does a recipe fit on the machines it names, and how long does it take: answered without a GPU, and without torch."""
