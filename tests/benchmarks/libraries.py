"""What the hazard table does with each library: `use` computes with it, on more than one thread where it can."""

from __future__ import annotations

from typing import NamedTuple


class Library(NamedTuple):
    """A library that users bring.

    Attributes:
        distribution: Its name, for the version.
        load: Statements that import it.
        use: Statements that compute with it, and raise an exception where the result is wrong.
    """

    distribution: str
    load: str
    use: str


LIBRARIES = (
    Library(
        "numpy",
        "import numpy",
        "a = numpy.ones((600, 600)); assert (a @ a)[0, 0] == 600",
    ),
    Library(
        "scipy",
        "import numpy, scipy.linalg",
        "assert scipy.linalg.svdvals(numpy.eye(400)).max() == 1",
    ),
    Library(
        "pandas",
        "import pandas",
        "f = pandas.DataFrame({'a': range(10000)}); assert f.groupby(f.a % 7).a.sum().sum() == 49995000",
    ),
    Library(
        "pyarrow",
        "import pyarrow, pyarrow.compute",
        "t = pyarrow.table({'a': list(range(100000))}); "
        "g = t.append_column('k', pyarrow.compute.bit_wise_and(t['a'], 7)).group_by('k').aggregate([('a', 'sum')]); "
        "assert sum(g['a_sum'].to_pylist()) == 4999950000",
    ),
    Library(
        "polars",
        "import polars",
        "f = polars.DataFrame({'a': range(100000)}).lazy(); "
        "g = f.group_by(polars.col('a') % 7).agg(polars.col('a').sum().alias('s')).collect(); "
        "assert g['s'].sum() == 4999950000",
    ),
    Library(
        "scikit-learn",
        "import numpy, sklearn.cluster, sklearn.ensemble",
        "x = numpy.random.default_rng(0).random((5000, 4)); "
        "sklearn.cluster.KMeans(4, n_init=1).fit(x); "
        "sklearn.ensemble.HistGradientBoostingRegressor(max_iter=5).fit(x, x[:, 0])",
    ),
    Library(
        "grpcio",
        "import grpc, concurrent.futures",
        "pool = concurrent.futures.ThreadPoolExecutor(1); server = grpc.server(pool); "
        "call = grpc.unary_unary_rpc_method_handler(lambda request, context: request + b'!'); "
        "server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('s', {'m': call}),)); "
        "port = server.add_insecure_port('127.0.0.1:0'); server.start(); "
        "channel = grpc.insecure_channel(f'127.0.0.1:{port}'); "
        "assert channel.unary_unary('/s/m')(b'x', timeout=10) == b'x!'; "
        "channel.close(); server.stop(0).wait(); pool.shutdown()",
    ),
    Library(
        "numba",
        "import numba, numpy",
        "f = numba.njit(parallel=True)(eval('lambda x: numpy.sum(x * 2.0)', {'numpy': numpy})); "
        "assert f(numpy.ones(1000000)) == 2000000",
    ),
    Library(
        "duckdb",
        "import duckdb",
        "assert duckdb.connect().execute('select sum(range) from range(3000000)').fetchone() == (4499998500000,)",
    ),
    Library(
        "lxml",
        "import lxml.etree",
        "assert len(lxml.etree.fromstring('<a>' + '<b/>' * 1000 + '</a>').xpath('//b')) == 1000",
    ),
    Library(
        "opencv-python-headless",
        "import cv2, numpy",
        "assert cv2.GaussianBlur(numpy.ones((2000, 2000, 3), numpy.float32), (9, 9), 3).max() > 0.9",
    ),
    Library(
        "torch",
        "import torch",
        "a = torch.ones(800, 800); assert (a @ a)[0, 0] == 800; assert torch.ones(10 ** 7).sum() == 10 ** 7; "
        "w = torch.ones(1000, 1000, requires_grad=True); (w @ w).sum().backward(); assert w.grad[0, 0] == 2000",
    ),
    Library(
        "jax",
        "import jax, jax.numpy",
        "f = jax.jit(eval('lambda x: (x @ x).sum()')); assert f(jax.numpy.ones((500, 500))) == 500 ** 3",
    ),
    Library(
        "tensorflow-cpu",
        "import tensorflow",
        "a = tensorflow.ones((800, 800)); assert (a @ a)[0, 0] == 800; "
        "d = tensorflow.data.Dataset.range(100).map(eval('lambda x: x + 1'), num_parallel_calls=2); "
        "assert sum(d.as_numpy_iterator()) == 5050",
    ),
    Library(
        "xgboost",
        "import numpy, xgboost",
        "x = numpy.random.default_rng(0).random((5000, 4)); "
        "xgboost.XGBRegressor(n_estimators=5).fit(x, x[:, 0]).predict(x)",
    ),
    Library(
        "lightgbm",
        "import numpy, lightgbm",
        "x = numpy.random.default_rng(0).random((5000, 4)); "
        "lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, x[:, 0]), 5).predict(x)",
    ),
    Library(
        "onnxruntime",
        "import numpy, onnxruntime, onnxruntime.datasets",
        "s = onnxruntime.InferenceSession(onnxruntime.datasets.get_example('mul_1.onnx')); "
        "assert s.run(None, {'X': numpy.ones((3, 2), numpy.float32)})[0][0, 0] == 1",
    ),
    Library(
        "tokenizers",
        "import tokenizers.models, tokenizers.trainers",
        "t = tokenizers.Tokenizer(tokenizers.models.BPE()); "
        "t.train_from_iterator(['a word or two'] * 1000, tokenizers.trainers.BpeTrainer(show_progress=False)); "
        "assert len(t.encode_batch(['a word'] * 1000)) == 1000",
    ),
    Library(
        "pyzmq",
        "import zmq",
        "c = zmq.Context(); a = c.socket(zmq.PAIR); b = c.socket(zmq.PAIR); "
        "port = a.bind_to_random_port('tcp://127.0.0.1'); b.connect(f'tcp://127.0.0.1:{port}'); "
        "b.send(b'x'); assert a.recv() == b'x'",
    ),
)
