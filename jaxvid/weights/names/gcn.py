"""Names of the tensors of graph networks on skeletons in published files."""

from typing import Any

from jaxvid.weights.convert import Table, Weights

# "backbone.gcn.0.tcn.conv.weight" -> "backbone/block0/tcn/conv/kernel"
BLOCKS = (("backbone.gcn.{i}", "backbone/block{i}"),)


def upstreams(
    rows: Table, words: str, fixed: str = "", buffers=None, *, blocks: Table = BLOCKS, fix=None
) -> dict[str, Weights]:
    """Return the tables of MMAction2 and PYSKL, which differ in the name of the head's layer.

    Args:
      rows: The rename rows inside a block.
      words: The words of the names inside a block, in upstream's order.
      fixed: Pattern of the tensors of fixed graphs, which are not loaded.
      buffers: Such tensors for export, see `Weights`.
      blocks: The rename rows of the blocks.
      fix: For tensors that are joined, see `Weights`.
    """
    inside = ((f"{a}{c}", f"{b}{d}") for a, b in blocks for c, d in (("", ""), *rows))
    table = (("backbone.data_bn", "backbone/data_bn"), *inside)
    order = (
        f"backbone cls_head A data_bn gcn tcn residual {words} weight bias running_mean running_var"
    )
    skip = (".*num_batches_tracked", *([fixed] if fixed else []))
    options: dict[str, Any] = dict(skip=skip, order=order, buffers=buffers, fix=fix)
    return {
        name: Weights((*table, (head, "head/fc")), **options)
        for name, head in (("mmaction", "cls_head.fc"), ("pyskl", "cls_head.fc_cls"))
    }


def branches(number: int) -> Table:
    """Return the rows of the branches of a temporal unit of which each is normalized.

    Args:
      number: Of branches, of which the last one but one is the maximum.
    """
    return (
        (".branches.{b}.0", "/branch{b}/reduce"),
        (".branches.{b}.1", "/branch{b}/bn"),
        (".branches.{b}.3.conv", "/branch{b}/conv"),
        (".branches.{b}.3.bn", "/branch{b}/last_bn"),
        (f".branches.{number - 2}.4", f"/branch{number - 2}/last_bn"),
    )
