"""Bridge, address management, published ports, resolv.conf and hosts, pasta."""
