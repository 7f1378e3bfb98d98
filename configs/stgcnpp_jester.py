"""ST-GCN++ on the hands of Jester: 100 frames of one hand, 80 epochs, tested on 10 clips.

`python -m jaxvid.tools.extract_poses --gesture` finds the key points in the clips. They are in
data/skeleton/jester.pkl, with the splits train and val.

Variants are the joints. `published` (top-1 89.22) has the graph of the published weights, which has
17 joints, connected as those of a body. `hand` has the 21 joints of a hand.
"""

from configs import base, datasets

LAYOUTS = {"published": "coco", "hand": "handmp"}


def get_config(variant="published"):
    layout = base.pick(LAYOUTS, variant)
    model = dict(name="stgcnpp", variant="2d", layout=layout)
    data = datasets.skeletons("jester", 27, "jester.pkl", layout=layout, people=1)
    return base.graph_run(model, data)
