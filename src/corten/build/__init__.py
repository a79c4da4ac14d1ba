"""The image builder: parser, instructions, plan, solve, export, in the order in which a Dockerfile falls
through them."""
