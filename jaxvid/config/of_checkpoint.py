"""The config of a checkpoint as a config file, so that flags can override it.

`--mode eval --workdir RUN --config.KEY=VALUE` reads `of_checkpoint.py:RUN`, see main.py.
"""

from ml_collections import ConfigDict

from jaxvid.weights import resolve


def get_config(spec: str) -> ConfigDict:
    """The config that travels with what `spec` names, see `resolve.find`."""
    return ConfigDict(resolve.find(spec).local_config)
