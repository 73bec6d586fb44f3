"""scikit-learn estimators on fastnet's networks: `MLPClassifier` and `MLPRegressor`.

They take every parameter of scikit-learn's own and mean the same by it: with the same ``random_state`` they
start from the same weights, see the same batches and end, but for rounding, with the same network. What they
have beyond that stands at the end of their signatures. They need the extra ``sklearn``.
"""

from fastnet.errors import missing

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 - new in 1.6
except ImportError:
    raise missing("fastnet.sklearn", "scikit-learn 1.6 or newer", "sklearn") from None

from fastnet.sklearn.classifier import MLPClassifier
from fastnet.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
