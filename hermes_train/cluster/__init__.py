"""A run on a cluster: its settings of the site, its jobs, and what becomes of them."""
