"""Tars that align what they hold."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_writer import TarWriter

MEMBERS = st.lists(
    st.tuples(
        st.sampled_from([5, 99, 101, 300, 600]),  # of the name
        st.sampled_from([0, 1, 511, 512, 5000]),  # of the data
        st.integers(0, 1100),  # of an attribute
        st.sampled_from([0, 512, 4096]),
    ),
    min_size=1,
    max_size=6,
)


@given(MEMBERS)
def test_data_begins_where_it_is_wanted(members: list[tuple[int, int, int, int]]) -> None:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    names = []
    for number, (length, size, attribute, align) in enumerate(members):
        entry = Entry(b"n" * length + b"%d" % number)
        entry.size = entry.real_size = size
        if attribute:
            entry.xattrs = {b"user.x": b"v" * attribute}
        writer.add(entry, align=align)
        if align:
            assert writer.offset % align == 0
        writer.data(b"z" * size)
        writer.pad(size)
        names.append(entry.name.decode())
    writer.finish()
    assert writer.offset == len(out.getvalue())

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        found = tar.getmembers()
        assert [info.name for info in found] == names
        for info, (_length, size, attribute, align) in zip(found, members, strict=True):
            file = tar.extractfile(info)
            assert file is not None and file.read() == b"z" * size
            assert not align or info.offset_data % align == 0
            assert ("SCHILY.xattr.user.x" in info.pax_headers) == bool(attribute)
