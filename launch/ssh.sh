#!/usr/bin/env bash
# Several machines by ssh, one process on each, which takes all GPUs it finds:
#
#   launch/ssh.sh HOSTFILE ARGS...
#
# HOSTFILE has a host a line; the first one is where the processes meet, on port $JAXVID_PORT, and
# the others must reach it by that name. Every host logs in without a password and sees this folder,
# the Python in PATH and --workdir. ARGS are those of `python -m jaxvid.main`. Ctrl-C, TERM and
# USR1 make it save and stop. SSH replaces the command `ssh`, such as SSH="ssh -p 2222".
set -euo pipefail

if [ $# -lt 1 ] || [ ! -r "$1" ]; then echo "usage: $0 HOSTFILE ARGS..." >&2; exit 2; fi
mapfile -t hosts < <(sed 's/#.*//' "$1" | awk 'NF {print $1}'); shift
if [ ${#hosts[@]} = 0 ]; then echo "$0: there are no hosts in the file" >&2; exit 2; fi
# shellcheck source=launch/gpu.env
. "$(dirname "${BASH_SOURCE[0]}")/gpu.env"
# shellcheck source=launch/wait.bash
. "$(dirname "${BASH_SOURCE[0]}")/wait.bash"
read -ra ssh <<<"${SSH:-ssh}"
port=${JAXVID_PORT:-12355}
export JAX_COORDINATOR_ADDRESS="${hosts[0]##*@}:$port" JAX_NUM_PROCESSES=${#hosts[@]}

# What the remote shells do not know: where we are, what is set here, and how to stop it.
pidfile=/tmp/jaxvid-$port
remote="cd $(printf %q "$PWD") && exec env"
for name in $(compgen -e | grep -E '^(PATH|LD_LIBRARY_PATH|PYTHON.*|VIRTUAL_ENV|JAX.*|XLA.*|NCCL.*)$'); do
  remote+=" $name=$(printf %q "${!name}")"
done

pids=()
for i in "${!hosts[@]}"; do
  run="$remote JAX_PROCESS_ID=$i ${PYTHON:-python} -m jaxvid.main $(printf '%q ' "$@")"
  "${ssh[@]}" "${hosts[i]}" "echo \$\$ >$pidfile-$i.pid; $run" </dev/null &
  pids+=($!)
done
# shellcheck disable=SC2154  # i
trap 'for i in "${!hosts[@]}"; do
  "${ssh[@]}" "${hosts[i]}" "kill -TERM \$(cat $pidfile-$i.pid)" </dev/null &
done' INT TERM USR1
wait_for "${pids[@]}"
