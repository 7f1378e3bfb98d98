"""Names of the tensors of graph networks on skeletons in published files."""

from jaxvid.weights.convert import Table, Weights


def upstreams(rows: Table, words: str, graph: str = "", buffers=None) -> dict[str, Weights]:
    """Return the tables of MMAction2 and PYSKL, which differ in the name of the head's layer.

    Args:
      rows: The rename rows inside a block.
      words: The words of the names inside a block, in upstream's order.
      graph: Pattern of the tensors of fixed graphs, which are not loaded.
      buffers: Such tensors for export, see `Weights`.
    """
    # "backbone.gcn.0.tcn.conv.weight" -> "backbone/block0/tcn/conv/kernel"
    blocks = ((f"backbone.gcn.{{i}}{a}", f"backbone/block{{i}}{b}") for a, b in (("", ""), *rows))
    table = (("backbone.data_bn", "backbone/data_bn"), *blocks)
    order = (
        f"backbone cls_head A data_bn gcn tcn residual {words} weight bias running_mean running_var"
    )
    skip = (".*num_batches_tracked", *([graph] if graph else []))
    return {
        name: Weights((*table, (head, "head/fc")), skip=skip, order=order, buffers=buffers)
        for name, head in (("mmaction", "cls_head.fc"), ("pyskl", "cls_head.fc_cls"))
    }
