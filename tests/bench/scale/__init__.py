"""A fleet at the scale of the world, simulated: what is measured of one relay, multiplied."""
