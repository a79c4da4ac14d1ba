"""The types of Docker's Engine API: requests and responses. No I/O."""
