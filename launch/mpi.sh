#!/usr/bin/env bash
# Open MPI, one process a GPU:
#
#   launch/mpi.sh -np 16 --hostfile HOSTS -- ARGS...
#
# Before the -- are options of mpirun, after it those of `python -m jaxvid.main`. The first process
# must be on this machine. To save and stop, send USR1 to mpirun, which passes it on; Ctrl-C and TERM
# make it kill all processes.
# For one process a host, set JAX_LOCAL_DEVICE_IDS=0,1,2,3,4,5,6,7.
set -euo pipefail

options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
if [ $# = 0 ]; then echo "usage: $0 MPIRUN-OPTIONS -- ARGS..." >&2; exit 2; fi
shift
# shellcheck source=launch/gpu.env
. "$(dirname "${BASH_SOURCE[0]}")/gpu.env"

# JAX finds the others by itself under Open MPI 4, but not under 5.
if ! mpirun --version | grep -q 'Open MPI) 4'; then
  export JAX_COORDINATOR_ADDRESS="${JAX_COORDINATOR_ADDRESS:-$(hostname):${JAXVID_PORT:-12355}}"
fi
for name in $(compgen -e | grep -E '^(PATH|LD_LIBRARY_PATH|PYTHON.*|JAX.*|XLA.*|NCCL.*)$'); do
  options+=(-x "$name")
done
# Data workers need more than the core that mpirun would bind a process to.
exec mpirun --bind-to none "${options[@]}" "${PYTHON:-python}" -m jaxvid.main "$@"
