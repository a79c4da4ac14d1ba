"""One file per page. Each has `show(visit)`, which gives a template and its values."""
