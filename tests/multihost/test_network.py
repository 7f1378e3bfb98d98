"""The network between two hosts is cut, or one of them is halted: both end and say so, soon."""

import signal
import time

import pytest

from tests.multihost import hosts, runs
from tests.multihost.test_start import names, read_until, start

pytestmark = pytest.mark.multihost
CUT = "for 10 s: it is gone, or stuck, or the network between is cut"


@pytest.mark.skipif(bool(hosts.missing()), reason=hosts.missing())
@pytest.mark.parametrize("end", [0, 1])
def test_a_cut_network_ends_both_sides(end, tmp_path):
    """Neither hears that the other is gone: no connection is closed."""
    with hosts.two_hosts(tmp_path) as two:
        processes = start("reduce_for_ever()", "reduce_for_ever()", hosts=two)
        for process in processes:
            read_until(process, "started")
        two[end].wire("down")
        zero, one = runs.wait(processes, 60)
    assert (zero.code, one.code) == (1, 1), zero.out + one.out
    assert max(zero.seconds, one.seconds) < 30
    assert (
        f"error: process 0 of 2 (hosta): process 1 (hostb) gave no sign of life {CUT}" in zero.out
    )
    assert "error: process 1 of 2 (hostb): process 0 at hosta:" in one.out
    assert f"did not answer {CUT}" in one.out
    assert "Check failure" not in zero.out + one.out  # JAX's own end


def test_a_halted_process_is_lost():
    processes = start("reduce_for_ever()", "reduce_for_ever()")
    for process in processes:
        read_until(process, "started")
    processes[1].send_signal(signal.SIGSTOP)
    processes[0].wait(60)
    processes[1].send_signal(signal.SIGCONT)
    zero, one = runs.wait(processes, 60)
    assert zero.code == 1 and one.code, zero.out + one.out
    assert f"error: {names(0, 2)}: process 1 (" in zero.out
    assert f"gave no sign of life {CUT}" in zero.out


def test_one_that_was_halted_itself_blames_nobody():
    processes = start("time.sleep(5); print('awake')", "time.sleep(5); print('awake')")
    for process in processes:
        read_until(process, "started")
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    time.sleep(13)
    for process in processes:
        process.send_signal(signal.SIGCONT)
    zero, one = runs.wait(processes, 60)
    assert (zero.code, one.code) == (0, 0), zero.out + one.out


def test_one_that_ended_well_is_not_missed():
    """It waits for the others, and gives no sign meanwhile."""
    zero, one = runs.wait(start("time.sleep(16)", ""), 60)
    assert (zero.code, one.code) == (0, 0), zero.out + one.out
