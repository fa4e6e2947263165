"""Steps of the build: compiling the inner modules, and putting them into a wheel. Stdlib only."""
