"""What stands before a hub: real proxies with TLS, units of systemd, and the eyes of an operator."""
