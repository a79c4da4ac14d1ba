"""System calls and kernel structures: no policy, the kernel's names, OSError with call and path."""
