"""Small surrogates in the official forms, fitted by the real libraries."""

import io
import json
import warnings

import joblib
import lightgbm
import numpy as np
from scipy.stats import gaussian_kde
from sklearn.multioutput import RegressorChain
from sklearn.preprocessing import StandardScaler

NUM_FEATURES, NUM_EPOCHS, RANK = 5, 6, 3


def data(seed=0, num_features=NUM_FEATURES, num_epochs=NUM_EPOCHS):
    """Features `[60, F]` and curves `[60, T]`."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 4, (60, num_features)).astype(float)
    slopes = features @ rng.normal(size=(num_features, num_epochs))
    return features, 50 + slopes + rng.normal(size=slopes.shape)


def regressor(**options):
    return lightgbm.LGBMRegressor(
        n_estimators=4, num_leaves=5, min_child_samples=3, n_jobs=1, verbose=-1
    ).set_params(**options)


def svd_surrogate(seed=0, noise=True, estimator=None, **sizes):
    """The list that the released code saves."""
    features, curves = data(seed, **sizes)
    u, s, vh = np.linalg.svd(curves, full_matrices=False)
    scaler = StandardScaler()
    labels = scaler.fit_transform(u[:, :RANK])
    chain = RegressorChain(regressor() if estimator is None else estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chain.fit(features, labels)
    objects = [chain, scaler, s, vh, RANK]
    if noise:
        residuals = u[:, :RANK] @ np.diag(s[:RANK]) @ vh[:RANK] - curves
        rng = np.random.default_rng(seed + 1)
        kernel = gaussian_kde(residuals.T + 1e-3 * rng.normal(size=residuals.T.shape))
        objects.append(kernel)
    return objects


def curves_of(objects, features):
    """What the released code predicts, `[N, T]`."""
    chain, scaler, s, vh, rank = objects[:5]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes = scaler.inverse_transform(chain.predict(features))
    return codes @ np.diag(s[:rank]) @ vh[:rank]


def joblib_bytes(objects, **options):
    buffer = io.BytesIO()
    joblib.dump(objects, buffer, **options)
    return buffer.getvalue()


def member_files(content, model, **config):
    """`{name: bytes}` of the folder of one member."""
    return {
        "surrogate_model.model": content,
        "model_config.json": json.dumps({"model": model, **config}).encode(),
        "data_config.json": json.dumps({"seed": 6}).encode(),
    }


def ensemble_files(contents, model, folder=""):
    """`{name: bytes}` of an ensemble below a folder."""
    return {
        f"{folder}ensemble_member_{i}/{name}": data
        for i, content in enumerate(contents)
        for name, data in member_files(content, model, number=i).items()
    }


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
