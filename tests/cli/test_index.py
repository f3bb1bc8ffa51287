"""``oscaxr index``, and commands about a session of an index."""

import pytest

from command_line import refused, told

pytest.importorskip("typer")


def test_an_index_is_written_and_used(mouse_folder, tmp_path):
    index = tmp_path / "sessions.json"
    files = sorted(mouse_folder.rglob("*.nwb"))
    table = mouse_folder / "table.csv"
    said = told("index", *files[:2], "--table", table, "-o", index)
    assert said == f"wrote {index}\n"
    which = ("--group", "mouse_1/session_2", "--sources", mouse_folder)
    assert "mouse 1, session 2" in told("info", index, *which)
    assert told("segments", index, *which, "gabor_frame=U") == told(
        "segments", files[1], "gabor_frame=U"
    )
    assert "--group mouse_1/session_1" in refused("info", index, "--sources", mouse_folder)
    message = refused("info", index, "--group", "mouse_1/session_2")
    assert f"--sources file://{files[1].parent}" in message
    assert "exists already" in refused("index", mouse_folder, "-o", index)
    told("index", mouse_folder, "-o", index, "--overwrite")
    assert "mouse_1/session_3" in refused("info", index, "--sources", mouse_folder)
