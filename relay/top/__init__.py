"""`icelane top`: what a relay does right now, for people who watch it."""
