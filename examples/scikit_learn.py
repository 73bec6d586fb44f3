"""scikit-learn's multi-layer perceptrons, with only the import changed; then what was missing there."""

import time
import warnings

import numpy as np
from joblib import parallel_backend
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnet.sklearn import MLPClassifier, MLPRegressor

warnings.simplefilter("ignore", ConvergenceWarning)  # a hundred epochs are enough here
x, y = load_breast_cancer(return_X_y=True)
x, test_x, y, test_y = train_test_split(StandardScaler().fit_transform(x), y, random_state=0)
fitted, seconds = [], []
for maker in (neural_network.MLPClassifier, MLPClassifier):
    start = time.perf_counter()
    fitted.append(maker((50, 20), max_iter=100, random_state=0).fit(x, y))
    seconds.append(time.perf_counter() - start)
apart = max(np.abs(a - b).max() for a, b in zip(fitted[0].coefs_, fitted[1].coefs_, strict=True))
print(f"the same weights to {10 * apart:.0e}, {seconds[0] / seconds[1]:.0f} times as fast")

model = MLPClassifier((50, 20), max_iter=40, class_weight="balanced", random_state=0)
grid = {"dropout": [0.0, 0.3], "activation": ["relu", ["gelu", "tanh"]]}
with parallel_backend("threading", n_jobs=2):  # training does not hold the interpreter's lock
    search = GridSearchCV(model, grid, cv=3).fit(x, y)
print(f"best: {search.best_params_}, accuracy {search.score(test_x, test_y):.3f}")

x, y = load_diabetes(return_X_y=True)
x, test_x, y, test_y = train_test_split(x, y, random_state=0)
line = MLPRegressor("quantile", (20,), quantile=0.9, learning_rate_init=0.05, max_iter=300, random_state=0)
pipeline = make_pipeline(StandardScaler(), line).fit(x, y)
print(f"below the 90 % line: {100 * np.mean(test_y < pipeline.predict(test_x)):.0f} %")
