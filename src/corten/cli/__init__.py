"""The corten command: one file per command; imports only the client, and almost nothing at start-up."""
