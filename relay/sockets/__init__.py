"""UDP sockets: made, and read and written by the batch."""
