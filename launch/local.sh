#!/usr/bin/env bash
# One machine with N GPUs:
#
#   launch/local.sh N ARGS...             one process for all of them
#   launch/local.sh --per-gpu N ARGS...   one process for each
#
# ARGS are those of `python -m jaxvid.main`. Ctrl-C, TERM and USR1 make it save and stop.
set -euo pipefail

each=
if [ "${1:-}" = --per-gpu ]; then each=1; shift; fi
case "${1:-}" in
  '' | *[!0-9]*) echo "usage: $0 [--per-gpu] N ARGS..." >&2; exit 2 ;;
esac
count=$1; shift
# shellcheck source=launch/gpu.env
. "$(dirname "${BASH_SOURCE[0]}")/gpu.env"
# shellcheck source=launch/wait.bash
. "$(dirname "${BASH_SOURCE[0]}")/wait.bash"

if [ -z "$each" ]; then
  JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((count - 1)))
  export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-$JAX_LOCAL_DEVICE_IDS}"
  exec "${PYTHON:-python}" -m jaxvid.main "$@"
fi

export JAX_COORDINATOR_ADDRESS="127.0.0.1:${JAXVID_PORT:-$((20000 + RANDOM % 12000))}"
export JAX_NUM_PROCESSES=$count
pids=()
for ((i = 0; i < count; i++)); do
  JAX_PROCESS_ID=$i JAX_LOCAL_DEVICE_IDS=$i "${PYTHON:-python}" -m jaxvid.main "$@" &
  pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' INT TERM USR1
wait_for "${pids[@]}"
