"""The audio pathway of AVSlowFast, a ResNet-50, on the sound of Kinetics-400.

It trains for 100 epochs, and a test has ten clips.

The lists name files of features, which `python -m jaxvid.tools.extract_audio` makes. No weights are
published.
"""

from configs import base


def get_config():
    return base.audio_run(dict(name="audioonly", variant="r50"), lr=2.0, batch=1280, clips=10)
