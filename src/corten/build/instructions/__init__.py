"""From the syntax tree to typed instructions in stages."""
