"""``oscaxr config``."""

from command_line import told


def test_config_says_what_is_used(tmp_path):
    lines = told("config", OSCAXR_DATADIR=str(tmp_path)).splitlines()
    assert lines[1].split() == ["datadir", str(tmp_path), "OSCAXR_DATADIR"]
    lines = told("config", "--table", "no.csv").splitlines()
    assert lines[2].endswith("the argument, but it is not there")
