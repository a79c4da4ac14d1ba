"""The page: what is in the registry, for people, read-only. Server-rendered, and works without JavaScript.

    site.py        a request's way: address → permission → view → template; errors as pages; headers
    addresses.py   the pages' paths, read and written
    views/         one file per page: repositories, tags, manifest, layer, comparison
    rendering.py   jinja2 with autoescape; text.py: how text from images is shown
    document.py, kinds.py, facts.py, describer.py   what manifests are, and what the search finds of them
    layers/        lists of layers' files: made in processes of their own, within limits, kept within a budget
    templates/, static/

Everything that is shown is hostile: it came with an image. Nothing of it is an address, a style or a script,
and no request changes anything.
"""
