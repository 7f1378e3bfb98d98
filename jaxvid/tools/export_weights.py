"""Write a trained model as a .safetensors file with an upstream's tensor names.

    python -m jaxvid.tools.export_weights WORKDIR --to mmaction [--out FILE] [--deploy]

Names, shapes, dtypes and order are those of the upstream's `state_dict`, including buffers, so the
upstream can load the file with `strict=True`. The metadata of the file contains the config and the
class names, so `jaxvid.load(FILE)` needs nothing else.

With --deploy, the model is written in its form for inference. Families such as MobileOne have one.
"""

import json
import sys
from pathlib import Path

from jaxvid import cli, files
from jaxvid.errors import UserError, did_you_mean
from jaxvid.inference.model import load
from jaxvid.weights import resolve, safetensors_file
from jaxvid.weights.convert import export


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.export_weights", __doc__)
    parser.add_argument("weights", help="workdir, checkpoint, file, or a name of the zoo")
    parser.add_argument(
        "--to", default="", help="upstream whose names to write (mmaction, or else the first)"
    )
    parser.add_argument("--out", help="by default WORKDIR/UPSTREAM[_deploy].safetensors")
    parser.add_argument("--deploy", action="store_true", help="write the form for inference")
    args = parser.parse_args(argv)
    return cli.guard(lambda: write(args.weights, args.to, args.out, args.deploy))


def write(spec: str, upstream: str, out: str | None, deploy: bool = False) -> Path:
    """Export the weights that `spec` refers to, and return the path of the file.

    Args:
      upstream: A key of the family's WEIGHTS; "" is MMAction2, or else the first.

    Raises:
      UserError: the weights cannot be loaded, there is no such upstream, or `deploy` is set and the
        family has no form for inference.
    """
    model = load(spec, deploy=deploy)
    tables = resolve.tables(model.config["model"], model.net)
    upstream = upstream or ("mmaction" if "mmaction" in tables else next(iter(tables), ""))
    folder = Path(spec) if Path(spec).is_dir() else Path()
    path = Path(out) if out else folder / f"{upstream}{'_deploy' * deploy}.safetensors"
    files.probe_file(path, [spec])
    if upstream not in tables:
        raise UserError(f"--to={upstream}: no such upstream.{did_you_mean(upstream, tables)}")
    tensors = export(model.variables, tables[upstream], model.net)
    about = dict(model.meta, config=model.config, names=model.names, upstream=upstream)
    safetensors_file.write(path, tensors, {"format": "pt", "jaxvid": json.dumps(about)})
    print(f"wrote {len(tensors)} tensors to {path}")
    return path


if __name__ == "__main__":
    sys.exit(main())
