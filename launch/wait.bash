# Sourced by the scripts that start several processes.

# wait_for PID...: until all are gone; its code is that of the first one, in their order, that failed.
wait_for() {
  local pid status code=0
  for pid; do
    # A signal that is trapped ends `wait` early, so each is waited for until it is gone.
    while :; do
      status=0
      wait "$pid" || status=$?
      kill -0 "$pid" 2>/dev/null || break
    done
    if [ "$code" = 0 ]; then code=$status; fi
  done
  return "$code"
}
