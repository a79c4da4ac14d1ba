"""--output, --tag and --annotation: what they mean, and what they refuse."""

import pytest

from corten.api.build import Attributes
from corten.build.export.annotation import Annotation, parse_annotation
from corten.build.export.output import (
    ArchiveOutput,
    ImageOutput,
    TreeOutput,
    parse_outputs,
    rewrites_timestamps,
)
from corten.errors import CortenError
from corten.image.compression import Compression
from corten.oci.platform import Platform
from corten.oci.reference import Reference
from tests.unit.build.export.builds import output


def test_nothing_said_is_the_store() -> None:
    assert parse_outputs([]) == (ImageOutput(),)
    (named,) = parse_outputs([], ["app", "reg.example/app:1"])
    assert isinstance(named, ImageOutput)
    assert named.names == (Reference.parse("app:latest"), Reference.parse("reg.example/app:1"))
    assert parse_outputs([Attributes("docker")]) == (ImageOutput(),)
    assert parse_outputs([Attributes("cacheonly")]) == ()


def test_names_of_tags_come_before_those_of_outputs() -> None:
    (one,) = parse_outputs([output("image", name="a,b:2")])
    (other,) = parse_outputs([output("image", name="a")], ["c"])
    assert isinstance(one, ImageOutput) and isinstance(other, ImageOutput)
    assert [name.familiar for name in one.names] == ["a:latest", "b:2"]
    assert [name.familiar for name in other.names] == ["c:latest"]


def test_what_is_pushed_is_compressed() -> None:
    (pushed,) = parse_outputs([output("registry", name="a")])
    assert isinstance(pushed, ImageOutput)
    assert (pushed.push, pushed.store, pushed.format.compression.kind) == (True, False, "gzip")
    (plain,) = parse_outputs([output("image", name="a", push="true", compression="uncompressed")])
    assert isinstance(plain, ImageOutput)
    assert (plain.push, plain.store, plain.format.compression.kind) == (True, True, "uncompressed")


def test_formats() -> None:
    (archive,) = parse_outputs([output("oci", dest="-", compression="zstd", oci_mediatypes="false")])
    assert isinstance(archive, ArchiveOutput)
    assert archive.format.oci and archive.format.compression == Compression("zstd")
    (high,) = parse_outputs([output("oci", dest="-", compression="gzip", compression_level="22")])
    assert isinstance(high, ArchiveOutput) and high.format.compression.level == 9
    (noted,) = parse_outputs([output("image", oci_mediatypes="false")], annotations=["a=b"])
    assert isinstance(noted, ImageOutput) and noted.format.oci
    attributes = {"annotation-manifest[linux/arm64].a.b": "1", "dest": "/x"}
    (local,) = parse_outputs([Attributes("oci", attributes)])
    assert isinstance(local, ArchiveOutput)
    assert local.format.annotations == (Annotation("a.b", "1", "manifest", Platform.parse("linux/arm64")),)
    (tree,) = parse_outputs([output("local", dest="/out", platform_split="false")])
    assert tree == TreeOutput(destination="/out", unpack=True, split=False)
    (tree,) = parse_outputs([output("local", dest="/out", mode="delete")])
    assert tree == TreeOutput(destination="/out", unpack=True, delete=True)
    (tree,) = parse_outputs([output("local", dest="/out", mode="copy")])
    assert tree == TreeOutput(destination="/out", unpack=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Attributes("tarball"), "unknown output type 'tarball'"),
        (output("oci"), "needs a destination"),
        (output("tar", dest="x"), "is not absolute"),
        (output("local", dest="-"), "needs a directory"),
        (output("local", dest="/out", mode="move"), "unknown mode 'move'"),
        (output("tar", dest="-", mode="delete"), "unknown attribute 'mode'"),
        (output("oci", dest="-", tar="false"), "needs a directory"),
        (output("registry"), "is pushed and has no name"),
        (output("image", compression="lzma"), "unknown compression 'lzma'"),
        (output("image", compression="gzip", compression_level="23"), "invalid compression-level '23'"),
        (output("image", compression="gzip", compression_level="x"), "invalid compression-level 'x'"),
        (output("image", push="maybe"), "invalid value 'maybe' of push"),
        (output("image", pusch="true"), "unknown attribute 'pusch' of output type=image"),
        (output("tar", dest="-", name="x"), "unknown attribute 'name'"),
        (output("image", name="A"), "must be lowercase"),
        (Attributes("image", {"annotation-x.a": "1"}), "unknown annotation type 'x'"),
        (Attributes("image", {"annotation-manifest": "1"}), "invalid annotation"),
    ],
)
def test_refused(wrong: Attributes, said: str) -> None:
    with pytest.raises(CortenError, match=said):
        parse_outputs([wrong])


def test_two_outputs_to_one_place() -> None:
    with pytest.raises(CortenError, match="two outputs go to the standard output"):
        parse_outputs([output("tar", dest="-"), output("oci", dest="-")])
    with pytest.raises(CortenError, match="cannot name an image by a digest"):
        parse_outputs([], ["app@sha256:" + "0" * 64])


def test_annotations() -> None:
    arm = Platform.parse("linux/arm64")
    assert parse_annotation("a=b=c") == [Annotation("a", "b=c")]
    assert parse_annotation("index,manifest[linux/arm64]:k=") == [
        Annotation("k", "", "index"),
        Annotation("k", "", "manifest", arm),
    ]
    assert parse_annotation("a=b:c") == [Annotation("a", "b:c")]
    for wrong, said in (
        ("a", "expected key=value"),
        ("x:a=1", "unknown annotation type 'x'"),
        ("manifest[:a=1", "invalid annotation type"),
        ("=1", "the key is empty"),
        ("manifest[a/b/c/d]:a=1", "invalid platform"),
    ):
        with pytest.raises(CortenError, match=said):
            parse_annotation(wrong)


def test_timestamps_are_rewritten_unless_somebody_says_no() -> None:
    assert rewrites_timestamps([]) and rewrites_timestamps([output("image", rewrite_timestamp="true")])
    assert not rewrites_timestamps([output("image"), output("oci", rewrite_timestamp="false")])
