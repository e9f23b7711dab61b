"""What a stage more costs: a client reaches a cluster through an edge, or its relay at once."""
