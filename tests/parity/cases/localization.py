"""Goldens of networks that find actions in untrimmed videos."""

import jax.numpy as jnp
from einops import rearrange

from tests.parity.cases.case import Case

QUICK = {"bmn_400"}


def proposals(variant):
    spec = dict(name="bmn", variant=variant)
    return Case(spec, lambda x: {"feature": rearrange(x, "n c t -> n t c")}, "n t c -> n c t")


def stage(variant):
    """One stage of BSN. The golden also has what its last layer gives, which spreads more."""
    tem = variant.startswith("tem")

    def outputs(out, raw):
        if tem:
            probabilities = jnp.stack([out.action, out.start, out.end], 1)
            return {"prob": probabilities, "last_layer_raw": rearrange(raw, "n t c -> n c t")}
        return {"prob": out.overlap[..., None], "last_layer_raw": raw}

    spec = dict(name="bsn", variant=variant)
    if tem:
        settings = dict(inputs=proposals(variant).inputs, features="n t c -> n c t", inner="conv3")
    else:
        spec |= dict(frames=50)
        settings = dict(inputs=lambda x: {"feature": x}, features="n p c -> n p c", inner="fc2")
    return Case(spec, outputs=outputs, **settings)


CASES = {
    "bmn_400": proposals("400"),
    "bmn_2048": proposals("2048"),
    "bsn_tem_400": stage("tem-400"),
    "bsn_tem_2048": stage("tem-2048"),
    "bsn_pem_400": stage("pem-400"),
}
