"""COPY, ADD, WORKDIR and here-documents: what a file operation makes of its sources, as one layer."""
