"""TSN on the sound of Kinetics-400: ResNet-18 on log-mel spectrograms, 100 epochs, one test clip.

The lists name files of features, which `python -m jaxvid.tools.extract_audio` makes. The published
model has windows of 1,024 samples. Its published top-1 accuracy is 13.7. To join it with a model of
frames: `jaxvid.tools.fuse`.
"""

from configs import base


def get_config():
    return base.audio_run(
        dict(name="tsn", variant="r18-audio"), lr=0.2, batch=2560, window=1024, hop=256
    )
