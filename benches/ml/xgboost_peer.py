"""Python xgboost beside Pumphouse: VALUES LABELS COLUMNS THREADS ROUNDS, then `train` or `predict` lines.

Answers each line with the seconds it took: training from NumPy arrays with both parts
evaluated each round, or predicting all rows of the array in memory.
"""

import sys
import time

import numpy as np
import xgboost

values, labels, columns, threads, rounds = sys.argv[1:6]
x = np.fromfile(values, dtype=np.float32).reshape(-1, int(columns))
y = np.fromfile(labels, dtype=np.float32)
cut = len(x) * 4 // 5
parameters = {
    "objective": "binary:logistic",
    "max_depth": 6,
    "eta": 0.1,
    "tree_method": "hist",
    "nthread": int(threads),
    "seed": 7,
}
model = None


def train():
    learn = xgboost.DMatrix(x[:cut], y[:cut], nthread=int(threads))
    check = xgboost.DMatrix(x[cut:], y[cut:], nthread=int(threads))
    evals = [(learn, "train"), (check, "validation")]
    return xgboost.train(parameters, learn, int(rounds), evals=evals, verbose_eval=False)


print(xgboost.__version__, flush=True)
for line in sys.stdin:
    started = time.perf_counter()
    if line.strip() == "train":
        model = train()
    elif line.strip() == "inplace":
        model.inplace_predict(x)
    else:
        model.predict(xgboost.DMatrix(x, nthread=int(threads)))
    print(time.perf_counter() - started, flush=True)
