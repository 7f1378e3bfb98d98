"""The quick faults; `python -m tests.faults.kill_resume` is the long one."""

from tests.faults import kill_resume


def test_a_killed_run_ends_as_if_it_never_was(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_resume.run(whole)
    kills = kill_resume.run_with_kills(killed, kills=3, in_saves=1, seed=7)
    assert sum("killed after" in kill for kill in kills) == 3
    assert any("inside a save" in kill for kill in kills)
    assert kill_resume.compare(whole, killed) == []
