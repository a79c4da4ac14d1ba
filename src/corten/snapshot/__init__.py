"""Layer chains made mountable."""
