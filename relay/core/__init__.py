"""The heart of the relay, free of IO: datagram, source and time go in, commands come out."""
