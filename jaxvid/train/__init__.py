"""The train loop and its step.

The package can be called: `jaxvid.train(config, workdir)` runs a training, see `jaxvid.api.train`.
"""

import sys

import jaxvid

sys.modules[__name__].__class__ = jaxvid.CallableModule
