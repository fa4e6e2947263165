"""What tests of real parts stand on: a container engine, an image, hub and worker processes, a browser."""
