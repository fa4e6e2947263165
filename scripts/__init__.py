"""What `make` runs: finding or starting a container engine, the base image, the example. Stdlib only."""
