"""The launch scripts, with a stand-in for Python that says how it was called.

Runs of several real processes are in tests/multihost.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parents[1] / "launch"
SCRIPTS = [*sorted(LAUNCH.glob("*.sh")), LAUNCH / "slurm.sbatch"]
SAYS = """#!/usr/bin/env bash
echo "rank=${JAX_PROCESS_ID:-} of=${JAX_NUM_PROCESSES:-} gpu=${JAX_LOCAL_DEVICE_IDS:-}" \\
  "visible=${CUDA_VISIBLE_DEVICES:-} at=${JAX_COORDINATOR_ADDRESS:-} flags=$XLA_FLAGS args=$*"
"""


@pytest.fixture
def launch(tmp_path):
    """Run a script; returns what its processes said, sorted, and the exit code."""

    def run(script, *args, then="", **variables):
        python = tmp_path / "python"
        python.write_text(SAYS + then)
        python.chmod(0o755)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "CUDA_"))}
        env = keep | dict(PYTHON=str(python), JAXVID_PORT="1234") | variables
        done = subprocess.run(
            [LAUNCH / script, *args], env=env, text=True, stdout=subprocess.PIPE, timeout=30
        )
        return sorted(done.stdout.splitlines()), done.returncode

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound_shell(script):
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-x", script], check=True, cwd=LAUNCH.parent)


def test_one_process_takes_all_gpus(launch):
    [line], code = launch("local.sh", "4", "--config=a b.py", XLA_FLAGS="--mine")
    assert code == 0
    assert "rank= of= gpu= visible=0,1,2,3 at= " in line
    assert line.endswith("--mine args=-m jaxvid.main --config=a b.py")


def test_a_process_for_each_gpu(launch):
    lines, code = launch("local.sh", "--per-gpu", "2", "--workdir=w")
    assert code == 0
    assert len(lines) == 2
    for i, line in enumerate(lines):
        assert f"rank={i} of=2 gpu={i} visible= at=127.0.0.1:1234 " in line
        assert line.endswith("args=-m jaxvid.main --workdir=w")


def test_the_code_of_the_one_that_failed_is_told(launch):
    assert launch("local.sh", "--per-gpu", "3", then="exit $((JAX_PROCESS_ID * 3))")[1] == 3
    assert launch("local.sh", "1", then="exit 130")[1] == 130


def test_hosts_of_a_file_get_their_places(launch, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("# two\nme@hosta\nhostb  # the other\n\n")
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/usr/bin/env bash\necho "to $1"\nexec bash -c "$2"\n')
    ssh.chmod(0o755)
    lines, code = launch("ssh.sh", hosts, "--config=a b.py", "$HOME", SSH=f"{ssh}")
    assert code == 0
    assert lines[2:] == ["to hostb", "to me@hosta"]
    for i in range(2):
        assert f"rank={i} of=2 gpu= visible= at=hosta:1234 " in lines[i]
        assert lines[i].endswith("args=-m jaxvid.main --config=a b.py $HOME")


def test_a_signal_reaches_all_and_they_are_waited_for(launch, tmp_path):
    waits = "trap 'sleep 0.3; echo saved; exit 130' TERM; touch $READY-$JAX_PROCESS_ID\n"
    waits += "for i in {1..200}; do sleep 0.1; done"
    ready = tmp_path / "ready"
    python = tmp_path / "waiting"
    python.write_text(f"#!/usr/bin/env bash\n{waits}")
    python.chmod(0o755)
    env = os.environ | dict(PYTHON=str(python), READY=str(ready))
    script = subprocess.Popen(
        [LAUNCH / "local.sh", "--per-gpu", "2"], env=env, text=True, stdout=subprocess.PIPE
    )
    while len(list(tmp_path.glob("ready-*"))) < 2:
        assert script.poll() is None
    script.send_signal(signal.SIGUSR1)
    out, _ = script.communicate(timeout=30)
    assert out.split() == ["saved", "saved"]
    assert script.returncode == 130


def test_wrong_usage_is_told(launch):
    assert launch("local.sh", "--config=x")[1] == 2
    assert launch("ssh.sh", "/no/such/file")[1] == 2
    assert launch("mpi.sh", "-np", "2")[1] == 2


def test_the_manifest_counts_its_hosts_the_same_everywhere():
    manifest = yaml.safe_load((LAUNCH / "k8s-jobset.yaml").read_text())
    [job] = manifest["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    [container] = spec["template"]["spec"]["containers"]
    env = {row["name"]: row.get("value") for row in container["env"]}
    assert spec["completions"] == spec["parallelism"] == int(env["JAX_NUM_PROCESSES"])
    name = manifest["metadata"]["name"]
    assert env["JAX_COORDINATOR_ADDRESS"].split(":")[0] == f"{name}-{job['name']}-0-0.{name}"
