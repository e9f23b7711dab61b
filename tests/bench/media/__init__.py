"""What 20 ms of a call cost on the RTP path, by parts, and how many calls of a core that is."""
