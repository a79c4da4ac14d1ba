"""Lists of layers' files, and what differs between the files of two images.

shelf.py        finished lists, kept as files within a budget; makes what is missing, one at a time
process.py      starts the program for one of them, within limits, and ends it
program.py      the program: a process of its own, as layers are hostile
listing.py      a layer's tar stream → a list
merging.py      two images' lists → what was added, changed and removed
list_file.py    the form of a list on disk: compressed in parts, so that a page of it is read alone
"""
