"""What many configs share, as functions that return ConfigDicts."""

from ml_collections import ConfigDict

from jaxvid.errors import UserError, did_you_mean

# Made before anything compiles; see jaxvid/data/dataset.py.
CHECKS = ("labels", "empty", "missing", "overlap")


def base() -> ConfigDict:
    """Everything a run needs but the model, the task, the data and the optimiser."""
    return ConfigDict(
        dict(
            seed=0,
            dtype="bfloat16",  # of computation; parameters are float32
            epochs=30.0,
            batch=64,  # clips of one optimiser step, over all devices
            eval_batch=0,  # 0: as in training
            accumulate=1,  # the batch goes through in this many parts
            ema=0.0,  # decay of the moving average of the parameters; 0 keeps none
            mesh=dict(data=-1, model=1),  # -1 takes the devices that are left
            sharding="replicated",  # or "fsdp", "tensor"; see jaxvid/mesh.py
            init=dict(weights="", skip=()),  # "" trains from scratch
            loader=dict(workers=-1, on_error="replace", eval_on_error="raise"),
            eval=dict(views=1),  # views that go through the model at once; 0: all
            log_every=50,  # steps
            eval_every=1.0,  # epochs
            save_every=1000,  # steps; each evaluation saves too
            keep=3,
            best="val/top1",
        )
    )


def pick(table: dict, variant: str):
    """The row of a config's variant, or an error that names those there are."""
    if variant not in table:
        raise UserError(f'this config has no variant "{variant}".{did_you_mean(variant, table)}')
    return table[variant]


def kinetics(classes: int, root: str, labels: str) -> dict:
    """Kinetics-400/600/700 in MMAction2's layout of lists and folders."""
    stem = f"kinetics{classes}"
    return dict(
        root=root,
        num_classes=classes,
        names=labels,
        checks=CHECKS,
        train=dict(name="video_list", file=f"{stem}_train_list_videos.txt", prefix="videos_train"),
        val=dict(name="video_list", file=f"{stem}_val_list_videos.txt", prefix="videos_val"),
    )


# Video Swin's parameter groups. MMAction2 multiplies the rules that match: the backbone learns at
# a tenth of the rate, norms and bias tables have no decay, other biases keep theirs.
SWIN_GROUPS = dict(
    lr_scale=(("backbone/.*", 0.1),),
    decay_scale=((".*norm[12]?/.*", 0.0), (".*relative_position_bias_table", 0.0)),
)
# The official repository takes the first rule that matches: norms of the backbone keep their decay,
# and bias tables learn at the full rate.
SWIN_GROUPS_OFFICIAL = dict(
    lr_scale=((".*relative_position_bias_table", 1.0), ("backbone/.*", 0.1)),
    decay_scale=((".*relative_position_bias_table", 0.0),),
)
