"""What forwards confirmed flows: the kernel (XDP) or the agent itself (userspace)."""
