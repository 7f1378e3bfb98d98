"""Names of the tensors of ResNets in published files, and of models that are built on them."""

from jaxvid.weights import inflate
from jaxvid.weights.convert import Table, Weights

BUFFERS = (".*num_batches_tracked",)
ORDER = (
    "backbone neck temporal_modulation_ops downsample_ops level_fusion_1 spatial_modulation"
    " level_fusion_2 pyramid_fusion aux_head downsamples fusion_conv cls_head slow_path fast_path"
    " conv1 bn1 conv2 bn2 conv3 bn3 downsample layer1 layer2 layer3 layer4 conv1_lateral"
    " layer1_lateral layer2_lateral layer3_lateral fc block non_local_block g conv_out theta phi"
    " conv bn aux_head.fc weight bias running_mean running_var"
)
# "layer1.0.downsample.1.running_var" -> "backbone/layer1_0/downsample/bn/var"
TORCHVISION = (
    ("conv1", "backbone/conv1/conv"),
    ("bn1", "backbone/conv1/bn"),
    ("layer{s}.{b}.conv{i}", "backbone/layer{s}_{b}/conv{i}/conv"),
    ("layer{s}.{b}.bn{i}", "backbone/layer{s}_{b}/conv{i}/bn"),
    ("layer{s}.{b}.downsample.0", "backbone/layer{s}_{b}/downsample/conv"),
    ("layer{s}.{b}.downsample.1", "backbone/layer{s}_{b}/downsample/bn"),
)
# MMAction2: "backbone.layer1.0.conv2.bn.weight" -> "backbone/layer1_0/conv2/bn/scale"
OPENMMLAB = (("backbone", "backbone"), ("backbone.layer{s}.{b}", "backbone/layer{s}_{b}"))


def non_local(torch: str = "backbone.layer{s}.{b}", ours: str = "backbone/layer{s}_{b}") -> Table:
    """Return the rename rows of the non-local layer after a block, as MMAction2 has them.

    Args:
      torch: The block in a file of MMAction2.
      ours: The same block in our models.
    """
    # "backbone.layer2.0.non_local_block.g.0.conv.weight" -> "backbone/layer2_0/non_local/g/kernel"
    names = {"g.0.conv": "g", "theta.conv": "theta", "phi.0.conv": "phi", "conv_out": "conv_out"}
    return tuple(
        (f"{torch}.non_local_block.{theirs}", f"{ours}/non_local/{name}")
        for theirs, name in names.items()
    )


def recognizer(backbone: Table, head: str) -> Weights:
    """Return the table of a ResNet with a linear classifier; a 3-D one takes kernels of a 2-D one.

    Args:
      backbone: Rename rows of the backbone, such as `OPENMMLAB`.
      head: Name of the classifier in the file.
    """
    # MMAction2: "cls_head.fc_cls.weight" -> "head/fc/kernel"
    return Weights((*backbone, (head, "head/fc")), BUFFERS, ORDER, adapt=inflate.kernels)


# An image network, as a start for a network of videos.
IMAGES = recognizer(TORCHVISION, "fc")
