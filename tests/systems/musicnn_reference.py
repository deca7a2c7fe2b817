"""Makes musicnn_reference.npy: what the published graph itself gives, by TensorFlow, from its own file.

pip download --no-deps musicnn==0.1.0
python tests/systems/musicnn_reference.py musicnn-0.1.0-py3-none-any.whl
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np


def clips() -> np.ndarray:
    """Two clips (2, 187, 96) in log10(1 + 10000 * power): an even noise, and one with loud bands and a pause."""
    x = np.random.default_rng(0).random((2, 187, 96), np.float32) * 2
    x[1] *= np.linspace(2, 0, 96, dtype=np.float32)
    x[1, 60:100] = 0
    return x


def reference(wheel: str) -> np.ndarray:
    """(2, 753) of `clips`."""
    import tensorflow as tf
    from tensorflow.core.protobuf import meta_graph_pb2

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        for ending in ("index", "data-00000-of-00001", "meta"):
            Path(folder, f"m.{ending}").write_bytes(archive.read(f"musicnn/MSD_musicnn/.{ending}"))
        meta = meta_graph_pb2.MetaGraphDef()
        meta.ParseFromString(Path(folder, "m.meta").read_bytes())
        wanted = ["model/moments/mean", "save/restore_all"]
        graph_def = v1.graph_util.extract_sub_graph(meta.graph_def, wanted)
        with tf.Graph().as_default() as graph, v1.Session() as session:
            tf.import_graph_def(graph_def, name="")
            session.run("save/restore_all", {"save/Const:0": f"{folder}/m"})
            inputs = [each.outputs[0] for each in graph.get_operations() if each.type == "Placeholder"]
            # The other one says whether it is training.
            feed = {each: clips() if each.dtype == tf.float32 else False for each in inputs}
            return np.squeeze(session.run("model/moments/mean:0", feed))


if __name__ == "__main__":
    result = reference(sys.argv[1])
    print(result.shape, result.mean())
    np.save(Path(__file__).with_suffix(".npy"), result.astype(np.float32))
