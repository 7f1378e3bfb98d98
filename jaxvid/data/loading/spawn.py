"""A check that the user's script does not start workers when a worker process imports it."""

import logging
import multiprocessing
import sys

logger = logging.getLogger(__name__)

NO_GUARD = 86  # exit code of a worker whose main module tries to start workers
NEEDED = (
    "each worker process imports your script, which then starts workers again; put the code of the"
    ' script under `if __name__ == "__main__":`'
)


def check_main_guard():
    """End this process if it is a worker that is still importing the main module."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        logger.error(NEEDED)
        sys.exit(NO_GUARD)
