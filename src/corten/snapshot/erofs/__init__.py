"""EROFS: a layer as an index that the kernel mounts, over data that is never unpacked.

`layer_tree` applies the entries of a layer's tar to a tree in memory; `image_writer` lays it out as an EROFS
image; `layer_index` puts the two together; `image_reader` reads an image back without mounting it. The
on-disk format is the kernel's fs/erofs/erofs_fs.h; `disk_format` quotes it.
"""
