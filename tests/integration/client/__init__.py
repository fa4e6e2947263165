"""The client against real hubs and workers."""
