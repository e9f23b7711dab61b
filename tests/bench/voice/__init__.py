"""What calls get, in one file: how many one core carries, how they sound, how they begin."""
