"""References, load, save, import, export, commit, bootstrap, prune."""
