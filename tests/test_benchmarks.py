"""What benchmarks compute without timing anything: collectives of a program, predictions, rows."""

import argparse
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks import (
    attention,
    kernels,
    loop,
    memory,
    peer_tables,
    peer_towers,
    peers,
    profile,
    rows,
    scaling,
    train_step,
)
from benchmarks.peer import our_classification
from benchmarks.scaling import Collective, Links
from jaxvid import plug
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.models.clip import Matched
from jaxvid.ops.attention import attention as attend
from jaxvid.train.plan import rehearse

HLO = """\
HloModule jit_train_step, is_scheduled=true, num_partitions=8
  %a = (f32[1,64]{1,0}, bf16[10]{0}) all-reduce(%x, %y), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %b = f32[16,8]{1,0} all-gather(%x), replica_groups=mesh['d'=4,'m'=2] {'d'}, dimensions={0}
  %c = f32[2,8]{1,0} reduce-scatter(%x), replica_groups=[1,8]<=[8], dimensions={0}, to_apply=%add
  %d = (f32[2]{0}, f32[16]{0}) all-gather-start(%x), replica_groups={}, dimensions={0}
  %e = f32[16]{0} all-gather-done(%d)
  %f = f32[5]{0} all-reduce-start(%x), replica_groups=[2,4]<=[4,2]T(1,0), to_apply=%add
  %g = (f32[3]{0}, f32[3]{0}, u32[], u32[]) collective-permute-start(%x), source_target_pairs={{0,1}}
  %h = s64[] all-reduce(%x), replica_groups={{0},{1}}, to_apply=%add
  %i = f32[4]{0} all-to-all(%x), replica_groups=mesh['d'=8] {'d':(2)4}, dimensions={0}
  %j = f32[7]{0} add(%all-reduce.1, %all-gather.2), metadata={op_name="all-reduce"}
"""  # noqa: E501


def test_collectives_are_read_from_a_program():
    assert scaling.collectives(HLO) == [
        Collective("all-reduce", 64 * 4 + 10 * 2, 4),
        Collective("all-gather", 16 * 8 * 4, 4),
        Collective("reduce-scatter", 2 * 8 * 4 * 8, 8),  # of the whole
        Collective("all-gather", 16 * 4, 8),  # empty groups are all devices
        Collective("all-reduce", 5 * 4, 4),
        Collective("collective-permute", 3 * 4, 8),
        Collective("all-to-all", 4 * 4, 4),
    ]


def test_the_gradient_of_a_replicated_matrix_is_reduced_once():
    mesh = meshes.build()
    rows = NamedSharding(mesh, PartitionSpec("data"))
    x = jax.ShapeDtypeStruct((16, 32), jnp.float32, sharding=rows)
    w = jax.ShapeDtypeStruct((32, 24), jnp.float32, sharding=meshes.replicated(mesh))
    gradient = jax.jit(jax.grad(lambda w, x: jnp.square(x @ w).sum()))
    text = gradient.lower(w, x).compile().as_text()
    assert scaling.collectives(text or "") == [Collective("all-reduce", 32 * 24 * 4, 8)]


@pytest.mark.parametrize(
    "kind,sent",
    [
        ("all-reduce", 1500),
        ("all-gather", 750),
        ("reduce-scatter", 750),
        ("all-to-all", 750),
        ("collective-permute", 1000),
    ],
)
def test_a_ring_sends(kind, sent):
    assert Collective(kind, 1000, 4).sent == sent


def test_a_step_waits_for_the_slower_link():
    links = Links(nvlink=100.0, network=10.0, reached=0.5, latency=(1.0, 3.0))
    found = [Collective("all-reduce", 800, 8), Collective("all-gather", 100, 2)]
    near = 2 * 7 / 8 * 800 / 50 + 1 + 0.5 * 100 / 50 + 1
    assert links.seconds(found, 1) == pytest.approx(near)
    far = 2 * 15 / 16 * 800 / 5 + 3 + 0.5 * 100 / 50 + 1  # a pair stays within a node
    assert links.seconds(found, 2) == pytest.approx(far)
    links = Links(nvlink=10.0, network=100.0, reached=0.5, latency=(1.0, 3.0))
    assert links.seconds(found[:1], 2) == pytest.approx(2 * 15 / 16 * 800 / 5 + 3)


def test_overlap_hides_what_is_shorter():
    assert scaling.efficiency(3.0, 1.0) == (0.75, 1.0)
    assert scaling.efficiency(1.0, 3.0) == (0.25, pytest.approx(1 / 3))


def test_collectives_are_summed_by_kind():
    found = [Collective("all-reduce", 10**6, 8), Collective("all-reduce", 10**6, 2)]
    assert scaling.summary(found) == "all-reduce 2: 2.0 MB"
    assert scaling.summary([]) == "none"


def test_ratios_are_of_neighbors():
    # The ratio of the medians would be 0.67.
    assert train_step.ratio([1.0, 2.0, 9.0], [1.0, 4.0, 3.0]) == "1.00 (0.50-3.00)"


def test_ways_run_in_turns_and_the_first_round_does_not_count():
    said = []
    ways = {name: lambda name=name: said.append(name) for name in "ab"}
    times = train_step.in_turns(ways, rounds=2, steps=2)
    assert "".join(said) == 3 * "aabb"
    assert {name: len(row) for name, row in times.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize("name", [*train_step.CASES, *peer_tables.FILES])
def test_every_model_with_a_peer_has_a_config(name):
    assert train_step.configure(name, small=True).batch == 2
    assert train_step.configure(name).batch >= 8


@pytest.mark.parametrize("small", [False, True])
def test_actionclip_takes_the_clips_of_clip4clip(small):
    config = train_step.configure("actionclip", small, batch=8)
    planned, *_ = rehearse(config, meshes.build())
    assert "adapter" in planned.state_shapes.params


def options(**given):
    known = dict(small=True, batch=0, peers=[], all_packages=False, here=False, out=None, rounds=2)
    return SimpleNamespace(**known | given)


def fake_packages(monkeypatch, *names):
    found = dict.fromkeys(names, lambda arrays, classes: None)
    monkeypatch.setattr(peers, "available", lambda name: (found, []))


def test_rows_that_a_file_has_are_not_measured_again(tmp_path, monkeypatch):
    fake_packages(monkeypatch, "torchvision", "mmaction")
    file = str(tmp_path / "rows.jsonl")
    args = options(peers=["eager", "compiled"], out=file)
    assert train_step.missing("swin", "bfloat16", "train", args) == {
        "torchvision": ["eager", "compiled"]
    }
    row = dict(model="swin:tiny", dtype="bfloat16", what="train", batch="2")
    train_step.show(row | {"peer": "torchvision eager", "ms": "1.5"}, file)
    with open(file, "a") as out:
        out.write('{"model": "swin:tiny", "dty')  # killed meanwhile
    assert train_step.missing("swin", "bfloat16", "train", args) == {"torchvision": ["compiled"]}
    assert len(train_step.missing("swin", "float32", "train", args)["torchvision"]) == 2
    args.all_packages = True
    assert train_step.missing("swin", "bfloat16", "train", args) == {
        "torchvision": ["compiled"],
        "mmaction": ["eager", "compiled"],
    }


def test_a_row_without_a_peer_has_the_key_that_is_looked_for(monkeypatch):
    monkeypatch.setitem(
        train_step.CASES, "stgcnpp", ("stgcnpp_ntu60", "2d_j", {"variant": "test"}, {})
    )
    monkeypatch.setattr(train_step, "peak", lambda dtype: 1e12)
    kinds, one = (AxisType.Auto,) * 2, jax.devices()[:1]
    mesh = jax.make_mesh((1, 1), ("data", "model"), axis_types=kinds, devices=one)
    monkeypatch.setattr(train_step.meshes, "build", lambda *_: mesh)
    args = options()
    (row,) = train_step.measure("stgcnpp", "float32", "forward", args)
    assert tuple(row[key] for key in train_step.KEY) == (
        "stgcnpp:2d_j",
        "float32",
        "forward",
        "2",
        "",
    )
    assert float(row["ms"]) > 0 and float(row["clips/s"]) > 0 and row["MFU"].endswith("%")


def test_the_losses_that_are_compared_are_those_of_the_tasks():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4, 7)).astype(np.float32)
    task = plug.load("tasks", dict(name="recognition"), num_classes=7)
    batch = {"target": jax.nn.one_hot(np.zeros(4, int), 7), "mask": np.ones(4)}
    assert our_classification(logits) == pytest.approx(float(task.loss(logits, batch)[0]))
    video, text = rng.standard_normal((2, 4, 5)).astype(np.float32)
    out = Matched(video, text[:, None], np.float32(3))
    want = plug.load("tasks", dict(name="retrieval"), num_classes=1).loss(out, {"mask": np.ones(4)})
    assert peer_towers.our_contrastive(out) == pytest.approx(float(want[0]), rel=1e-5)


@pytest.mark.parametrize("text, want", [("none", []), ("eager,compiled", ["eager", "compiled"])])
def test_peers_are_a_list(text, want):
    assert train_step.ways(text) == want
    with pytest.raises(argparse.ArgumentTypeError, match='"fast" is none of eager'):
        train_step.ways("eager,fast")


def test_an_unknown_model_is_named():
    with pytest.raises(UserError, match=r'no model "swim" here\. Did you mean "swin"'):
        train_step.configure("swim")


def test_peers_that_are_not_there_say_what_would_bring_them(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    found, missing = peers.available("swin:tiny")
    assert found == {}
    assert ["pip install torch" in line for line in missing] == [True, True]
    assert "no config" in peers.available("slowfast:none")[1][0]


def event(name, ns, **stats):
    return SimpleNamespace(name=name, duration_ns=ns, stats=stats.items())


def plane(*rows):
    return SimpleNamespace(lines=[SimpleNamespace(name=n, events=events) for n, events in rows])


def test_a_profile_adds_up_the_kernels_of_a_gpu():
    host = plane(("python", [event("dot.1", 9e9, hlo_op="dot.1")]))
    streams = plane(
        ("Stream #1", [event("gemm", 2e6, hlo_op="dot.1"), event("gemm", 4e6, hlo_op="dot.1")]),
        ("Stream #2", [event("MemcpyH2D", 1e6)]),
        ("XLA Ops", [event("dot.1", 7e6, hlo_op="dot.1")]),
    )
    found = profile.operations([host, streams])
    assert found == {
        "dot.1": profile.Operation(2, pytest.approx(6e-3)),
        "MemcpyH2D": profile.Operation(1, pytest.approx(1e-3)),
    }
    assert next(iter(profile.operations([host]).values())).seconds == 9
    lines = list(profile.table(found, steps=2, top=1))
    assert lines[0].count("share of 3.50 ms") == 1 and len(lines) == 3
    assert lines[2].startswith("| dot.1 | 1 | 3.000 | 85.7% |")


COMPILED = """\
HloModule jit_train_step, is_scheduled=true

%fused (p: bf16[4,8]) -> bf16[4,8] {
  ROOT %no.1 = bf16[4,8]{1,0} add(%p, %p), metadata={op_name="jit(f)/no"}
}

ENTRY %main.2 (x.1: bf16[4,8], w.1: f32[8]) -> (f32[8], bf16[4,8]) {
  %x.1 = bf16[4,8]{1,0} parameter(0), metadata={op_name="x"}
  %w.1 = f32[8]{0} parameter(1), metadata={op_name="w"}
  %both.7 = (f32[8]{0}, bf16[4,8]{1,0}) fusion(%x.1, /*index=1*/%w.1), kind=kLoop, calls=%fused, metadata={op_name="jit(train_step)/transpose(jvp(Net))/layer1_0/conv3/bn/mul" stack_frame_id=2}
  %part.1 = bf16[4,8]{1,0} get-tuple-element(%both.7), index=1
  %conv.1 = (bf16[4,8]{1,0}, u8[0]{0}) custom-call(%part.1, %x.1), custom_call_target="__cudnn$convForward", metadata={op_name="jit(train_step)/jvp(Net)/net.stage/conv3/dot"}
  %sum.12 = f32[] fusion(%w.1), kind=kInput, calls=%fused, metadata={op_name="jit(train_step)/sum"}
  ROOT %tuple.1 = (f32[8]{0}, bf16[4,8]{1,0}) tuple(%w.1, %part.1)
}
"""  # noqa: E501


def test_kernels_are_read_from_a_program():
    both, conv, total = kernels.kernels(COMPILED)
    assert (both.kind, conv.kind, total.kind) == ("both", "__cudnn$convForward", "sum")
    assert (both.bytes, conv.bytes, total.bytes) == (2 * (64 + 32), 3 * 64, 32 + 4)
    assert (both.float32, conv.float32) == (64, 0)
    assert both.module(2) == "backward conv#/bn"
    assert (conv.module(2), total.module(2)) == ("forward conv#", "no module")
    lines = list(kernels.totals([both, conv, total], lambda kernel: kernel.module(1)))
    assert lines[2:] == [
        "| backward bn | 1 | 0.000 | 0.000 |",
        "| forward conv# | 1 | 0.000 | 0.000 |",
        "| no module | 1 | 0.000 | 0.000 |",
    ]
    (line,) = list(kernels.largest([both, conv], 1))[2:]
    assert line.startswith("| both.7 | 0.0 |")


def test_a_table_continues_from_its_file(tmp_path, capsys):
    file, measured = tmp_path / "rows.jsonl", []

    def jobs(*names):
        for name in names:
            yield {"case": name}, lambda name=name: measured.append(name) or {"ms": len(measured)}

    rows.measure(jobs("a", "b"), ("case", "ms"), file)
    with file.open("a") as out:
        out.write('{"case": "c", "m')  # killed while it wrote
    rows.measure(jobs("a", "c", "b"), ("case", "ms"), file)
    assert measured == ["a", "b", "c"]
    assert capsys.readouterr().out.splitlines()[-3:] == ["| a | 1 |", "| c | 3 |", "| b | 2 |"]
    rows.measure(jobs("a", "d", "b"), ("case", "ms"), file, seconds=-1)
    assert measured == ["a", "b", "c"]
    printed = capsys.readouterr().out.splitlines()[-2:]
    assert printed == ["| a | 1 |", "The time is over. The same command measures the other rows."]


@pytest.mark.parametrize("what", ["forward", "with gradients"])
def test_attention_is_measured_and_compared(what):
    run, shapes = attention.sequence(2, 6, 2, 8, causal=True)
    row = attention.measure(run, shapes, "plain", what, "bfloat16")
    assert float(row["ms"]) > 0 and 0 < float(row["output error"]) < 0.01
    assert (row["gradient error"] == "-") == (what == "forward")


def test_a_path_of_attention_that_is_not_there_says_why():
    run, shapes = attention.sequence(2, 6, 2, 8, causal=False)
    row = attention.measure(run, shapes, "cudnn", "forward", "bfloat16")
    assert "there is no GPU" in row["ms"] and row["output error"] == "-"


def test_windows_of_attention_are_those_of_swin():
    shapes = {name: shapes for name, _, shapes in attention.cases(small=False)}
    assert shapes["Swin-T stage 1, shifted"] == [(8, 128, 392, 3, 32)] * 3 + [(2535, 3)]
    assert shapes["Swin-T stage 4, windows"][0] == (8, 2, 392, 24, 32)


def test_a_turn_of_the_loop_is_compared_with_its_neighbors():
    def step(steps):
        return np.array([next(seconds), 1.0])

    seconds = iter([9.0, 1.0, 3.0])
    turns = loop.Turns(step)
    turns.alone += [step(1) for _ in range(3)]
    turns.loop += [np.array([9.0, 9.0]), np.array([4.0, 1.0])]
    assert turns.ratios().tolist() == [[2.0, 1.0]]  # the first turn does not count


def test_attention_is_traced_as_on_a_gpu():
    q = jax.ShapeDtypeStruct((2, 256, 2, 64), jnp.bfloat16)

    def program():  # a new function, because traces are kept by function
        return str(jax.make_jaxpr(lambda *x: attend(*x))(q, q, q))

    with memory.like_a_gpu():
        assert "dot_product_attention" in program()
    assert "dot_product_attention" not in program()


@pytest.mark.long
def test_the_policies_of_remat_need_less_and_less_memory():
    needed = [memory.needed("quickstart", 16, 64, 2, policy) for policy in memory.POLICIES]
    assert needed[0] > 1.2 * needed[1] > 1.2 * needed[2] > 0
