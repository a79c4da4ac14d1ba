import pytest

from corten.errors import InvalidArgument
from corten.runtime.capabilities import DEFAULT_CAPABILITIES, NAMES, NUMBERS, normalise, resolve


def test_numbers_are_the_kernels():
    assert (NUMBERS["CAP_CHOWN"], NUMBERS["CAP_SYS_ADMIN"], NUMBERS["CAP_CHECKPOINT_RESTORE"]) == (0, 21, 40)


def test_dockers_default_is_14():
    assert len(DEFAULT_CAPABILITIES) == 14
    assert resolve(last=40) == DEFAULT_CAPABILITIES


@pytest.mark.parametrize("name", ["net_admin", "NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin"])
def test_names_are_taken_with_and_without_prefix(name):
    assert normalise(name) == "CAP_NET_ADMIN"
    assert "CAP_NET_ADMIN" in resolve([name], last=40)


def test_all_added_or_dropped():
    assert resolve(["ALL"], last=40) == NAMES
    assert "CAP_SYS_ADMIN" not in resolve(["all"], ["sys_admin"], last=40)
    assert resolve([], ["ALL"], last=40) == ()
    assert resolve(["chown"], ["ALL"], last=40) == ("CAP_CHOWN",)
    assert resolve([], ["chown"], privileged=True, last=40) == NAMES


def test_dropping_one_keeps_the_others():
    assert set(DEFAULT_CAPABILITIES) - set(resolve([], ["NET_RAW"], last=40)) == {"CAP_NET_RAW"}


def test_unknown_names_and_unknown_to_the_kernel():
    with pytest.raises(InvalidArgument, match="CAP_FLY"):
        resolve(["CAP_FLY"])
    with pytest.raises(InvalidArgument, match="CAP_BPF"):
        resolve(["BPF"], last=37)
    assert "CAP_BPF" not in resolve(["ALL"], last=37)
