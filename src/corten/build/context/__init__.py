"""Where a build's files come from: directories read in place, archives, repositories, downloads, and the
layers of other stages."""
