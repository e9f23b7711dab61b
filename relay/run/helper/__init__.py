"""The process that keeps root for an agent that has given it up."""
