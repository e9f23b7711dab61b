"""For how long an agent with many flows serves nobody, whatever else it does."""
