"""type=s3 and type=azblob: what they mean, and what they refuse."""

import sys

import pytest

pytest.importorskip("obstore")

from corten.build.cache_transfer.bucket.opening import open_s3
from corten.build.cache_transfer.bucket.options import AccessKey, AzureCache, Keys, S3Cache
from corten.build.cache_transfer.options import parse_exports, parse_imports
from corten.errors import CortenError
from tests.unit.build.cache_transfer.machine import cache

KEY = "c2VjcmV0"


def test_defaults_are_those_of_buildkit() -> None:
    (s3, azure) = parse_exports(
        [
            cache("s3", bucket="b", region="r"),
            cache("azblob", account_url="https://acc.blob.core.windows.net/", mode="max"),
        ]
    )
    assert s3.place == S3Cache(bucket="b", region="r", keys=Keys("blobs/", "manifests/", ("buildkit",)))
    assert isinstance(s3.place, S3Cache) and s3.place.touch_refresh == 24 * 3600 and s3.place.parallel == 4
    assert azure.place == AzureCache(
        account_url="https://acc.blob.core.windows.net",
        account="acc",
        container="buildkit-cache",
        keys=Keys("blobs/", "manifests/", ("buildkit",)),
    )
    assert azure.mode == "max"


def test_everything_given() -> None:
    s3, azure = parse_exports(
        [
            cache(
                "s3",
                bucket="b",
                region="r",
                prefix="p-",
                blobs_prefix="x",
                manifests_prefix="",
                name="one;two",
                endpoint_url="http://127.0.0.1:9/",
                use_path_style="true",
                access_key_id="id",
                secret_access_key="secret",
                session_token="session",
                touch_refresh="1h30m",
                upload_parallelism="7",
                retry_mode="adaptive",
                retry_max_attempts="2",
                disable_accept_encoding="true",
                ignore_error="true",
            ),
            cache(
                "azblob",
                account_url="http://127.0.0.1/acc",
                account_name="acc",
                container="c",
                prefix="a/b",
                name="n",
                secret_access_key=KEY,
                compression="zstd",
            ),
        ]
    )
    assert s3.place == S3Cache(
        bucket="b",
        region="r",
        keys=Keys("p-x", "p-", ("one", "two")),
        endpoint="http://127.0.0.1:9",
        path_style=True,
        access_key=AccessKey("id", "secret", "session"),
        touch_refresh=5400,
        parallel=7,
        attempts=2,
    )
    assert isinstance(azure.place, AzureCache)
    assert azure.place.keys == Keys("a/b/blobs/", "a/b/manifests/", ("n",))
    for shown in (repr(s3), repr(azure), s3.place.title, azure.place.title):
        assert "secret" not in shown and "session" not in shown and KEY not in shown


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"bucket": ""}, "needs bucket=…, or the variable AWS_BUCKET"),
        ({"region": ""}, "needs region=…, or the variable AWS_REGION"),
        ({"name": "a;;b"}, "has an empty name"),
        ({"prefix": "/x"}, "can be no object's key"),
        ({"prefix": "x//"}, "can be no object's key"),
        ({"name": "../x"}, "can be no object's key"),
        ({"access_key_id": "x"}, "or neither of them"),
        ({"touch_refresh": "a day"}, "touch_refresh is a time like 24h"),
        ({"upload_parallelism": "0"}, "is a positive number"),
        ({"retry_mode": "never"}, "retry_mode is standard or adaptive"),
        ({"endpoint_url": "localhost:9000"}, "endpoint_url is no URL"),
        ({"endpoint_url": "https://host:99999"}, "endpoint_url is no URL"),
        ({"endpoint_url": "https://a:b@host"}, "must not have a password in it"),
        ({"ref": "x"}, "unknown attribute 'ref'"),
        ({"use_path_style": "perhaps"}, "invalid value 'perhaps' of use_path_style"),
    ],
    ids=str,
)
def test_s3_refused(attributes: dict[str, str], said: str) -> None:
    with pytest.raises(CortenError, match=said):
        parse_exports([cache("s3", **{"bucket": "b", "region": "r"} | attributes)])


def test_azure_refused() -> None:
    with pytest.raises(CortenError, match=r"needs account_url=https://ACCOUNT\.blob\.core\.windows\.net"):
        parse_imports([cache("azblob")])
    with pytest.raises(CortenError, match=r"no storage account's key: not base64$"):
        parse_imports([cache("azblob", account_url="https://acc.x", secret_access_key="no/base64!")])
    with pytest.raises(CortenError, match="unknown attribute 'mode'"):
        parse_imports([cache("azblob", account_url="https://acc.x", mode="max")])


def test_without_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for given in (cache("s3", bucket="b", region="r"), cache("azblob", account_url="https://a.x")):
        with pytest.raises(CortenError, match=r"needs obstore: pip install 'corten\[registry\]'"):
            parse_exports([given])


@pytest.mark.parametrize(
    ("attributes", "address"),
    [
        ({}, ("", True)),
        ({"bucket": "a.b"}, ("", False)),
        ({"endpoint_url": "https://s3.example:9000"}, ("https://b.s3.example:9000", True)),
        ({"endpoint_url": "https://s3.example", "use_path_style": "1"}, ("https://s3.example", False)),
        ({"endpoint_url": "http://127.0.0.1:9000"}, ("http://127.0.0.1:9000", False)),
    ],
    ids=["AWS", "dots", "host", "path", "address"],
)
def test_where_the_bucket_is_named(attributes: dict[str, str], address: tuple[str, bool]) -> None:
    (item,) = parse_exports([cache("s3", **{"bucket": "b", "region": "r"} | attributes)])
    assert isinstance(item.place, S3Cache)
    config = open_s3(item.place)._store.config  # type: ignore[union-attr]
    style = str(config.get("virtual_hosted_style_request", False)).lower() == "true"
    assert (config.get("endpoint", ""), style) == address
