"""How datagrams come in, and how they go on, where the agent forwards."""
