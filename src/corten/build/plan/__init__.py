"""From typed instructions to the graph of operations, and to the images that the graph makes."""
