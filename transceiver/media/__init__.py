"""What happens between RTP packets and PCM: pure cores, time and randomness are arguments."""
