"""A lab with an edge: a client far from the cluster that answers, and a relay near to each."""
