"""A line between the client and everything else that delays, loses and translates, on command.

netem would do it, but many kernels lack it, and it cannot forget what a NAT knows.
"""
