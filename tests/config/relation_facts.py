"""Facts of the parts of detectors that relate boxes to the frame or to a feature bank."""

from typing import Any

from tests.config.sheet import Record

Facts = dict[str, Any]


def published(head: Record) -> Facts:
    """Return the facts of the part of a published detector that relates boxes to more."""
    if head.get("type") == "ACRNHead":
        return dict(relation=("acrn", head.get("num_convs", 1)))
    if not head:
        return dict(relation=())
    bank, operator = head["lfb_cfg"], head["fbo_cfg"]
    sizes = bank["window_size"], bank["max_num_sampled_feat"], bank["lfb_channels"]
    facts = dict(relation=("lfb", operator["type"]), bank=sizes)
    if operator["type"] == "non_local":
        facts["relation"] += operator["latent_channels"], operator["num_non_local_layers"]
        facts["bank_dropout"] = operator["st_feat_dropout_ratio"]
    return facts


def configured(relation: Any, recipe: Any) -> Facts:
    """Return the facts of the part of a detector of ours that relates boxes to more."""
    if not getattr(relation, "needs_bank", False):
        return dict(relation=("acrn", relation.depth) if relation else ())
    sizes = recipe["bank_window"], recipe["bank_entries"], recipe["bank_channels"]
    facts = dict(relation=("lfb", relation.operator), bank=sizes)
    if relation.operator == "non_local":
        facts["relation"] += relation.latent, relation.layers
        facts["bank_dropout"] = relation.bank_dropout
    return facts
