"""Probes of the context vectors: linear classifiers and k-means clusters, which need no codebook."""

from collections.abc import Sequence

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from w2v2_teach.analysis.information import Explained, explained_phones

CLUSTERS = 100  # of k-means, as in HuBERT's first iteration (arXiv 2106.07447)
PROBE_STEPS = 300  # of the phone probe's optimizer: more change its accuracy by less than 0.002


def copy_scores(z: torch.Tensor) -> torch.Tensor:
    """(T, C) latent frames → (T, T) cosine similarity of all pairs, after subtraction of the mean frame.

    Row t scores all frames as candidates for a later frame, if the prediction is a copy of frame t.
    """
    z = torch.nn.functional.normalize(z - z.mean(dim=0), dim=1)
    return z @ z.T


def linear_probe(
    features: np.ndarray, labels: Sequence[str] | np.ndarray, groups: Sequence[str] | np.ndarray
) -> dict[str, float]:
    """Accuracy of a logistic regression for each group, trained on all other groups.

    Args:
        features: (n, D), scaled here to unit variance.
        labels: (n,) classes.
        groups: (n,) for example speakers.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with threadpool_limits(1):  # the matrices are small: where cores are busy, threads wait for each other for minutes
        scores = cross_val_score(classifier, features, labels, groups=groups, cv=LeaveOneGroupOut())
    return dict(zip(sorted(set(groups)), scores.tolist(), strict=True))


def phone_probe(train: np.ndarray, train_phones: np.ndarray, test: np.ndarray, test_phones: np.ndarray) -> float:
    """Accuracy of a logistic regression of phones on held-out speakers.

    Args:
        train: (n, D) frames of the training speakers, scaled here to unit variance.
        train_phones: (n,)
        test: (N, D) frames of the held-out speakers.
        test_phones: (N,)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_STEPS, tol=1e-3))
    with threadpool_limits(1):
        return float(classifier.fit(train, train_phones).score(test, test_phones))


def cluster_phones(train: np.ndarray, test: np.ndarray, test_phones: np.ndarray, clusters: int = CLUSTERS) -> Explained:
    """PNMI of phones and k-means clusters on held-out speakers.

    Args:
        train: (n, D) frames of the training speakers, from which the clusters are estimated.
        test: (N, D) frames of the held-out speakers.
        test_phones: (N,)
        clusters: their number.
    """
    from sklearn.cluster import KMeans

    with threadpool_limits(1):
        codes = KMeans(clusters, n_init=1, random_state=0).fit(train).predict(test)  # (N,)
    return explained_phones(test_phones, codes)
