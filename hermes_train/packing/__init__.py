"""From documents to packs: the mixture, the token store, the bins and the data set."""
