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
        "a = torch.ones(800, 800); assert (a @ a)[0, 0] == 800; assert torch.ones(10 ** 7).sum() == 10 ** 7",
    ),
)
