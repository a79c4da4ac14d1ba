import pytest

from corten.errors import InvalidArgument, Unsupported
from corten.runtime import apparmor, selinux


@pytest.fixture
def host(tmp_path):
    (tmp_path / "enabled").write_text("Y\n")
    (tmp_path / "profiles").write_text("docker-default (enforce)\n/usr/bin/man (complain)\n")
    return {"flag": tmp_path / "enabled", "security": tmp_path}


def test_apparmor_profile_must_be_loaded(host):
    assert apparmor.resolve("docker-default", **host) == "docker-default"
    assert apparmor.resolve("unconfined", **host) == "unconfined"
    assert apparmor.profiles(security=host["security"])["/usr/bin/man"] == "complain"
    with pytest.raises(InvalidArgument, match="nothing-such is not loaded"):
        apparmor.resolve("nothing-such", **host)


def test_apparmor_asked_for_where_there_is_none(tmp_path):
    none = {"flag": tmp_path / "absent", "security": tmp_path}
    assert apparmor.resolve("", **none) is None
    assert apparmor.resolve("unconfined", **none) is None
    with pytest.raises(Unsupported, match="no AppArmor"):
        apparmor.resolve("docker-default", **none)


def test_selinux_labels(tmp_path):
    (tmp_path / "enforce").write_text("1")
    (tmp_path / "contexts").write_text(
        'process = "system_u:system_r:svirt_t:s0"\nfile = "s:o:svirt_file_t:s0"\n'
    )
    host = {"enforce": tmp_path / "enforce", "contexts": tmp_path / "contexts"}
    assert selinux.resolve([], **host).process == "system_u:system_r:svirt_t:s0"
    labels = selinux.resolve(["type:spc_t", "level:s0:c1,c2"], **host)
    assert labels.process == "system_u:system_r:spc_t:s0:c1,c2"
    assert labels.mount == "s:o:svirt_file_t:s0:c1,c2"
    assert selinux.resolve(["disable"], **host) == selinux.Labels()
    with pytest.raises(InvalidArgument):
        selinux.resolve(["colour:red"], **host)


def test_selinux_asked_for_where_there_is_none(tmp_path):
    assert selinux.resolve([], enforce=tmp_path / "no") == selinux.Labels()
    with pytest.raises(Unsupported, match="no SELinux"):
        selinux.resolve(["type:spc_t"], enforce=tmp_path / "no")
