"""What is compared: each is started on the relay's host, and has flows opened through it."""
