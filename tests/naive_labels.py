"""The oracle for labels: EM in plain NumPy that holds p(what is known of row n | component k) as an N x K array.

Shares no code with fastmix, and takes densities and the M-step of the plain oracle (``naive``).
"""

from typing import NamedTuple

import naive
import numpy as np


class LabelledStep(NamedTuple):
    """One iteration: the objective under the old parameters, responsibilities, and the new parameters."""

    log_likelihood: float
    responsibilities: np.ndarray
    mixture: naive.Mixture


def evenly(share, n_classes):
    """The confusion matrix in which a share of the labels is wrong, spread evenly."""
    wrong = share / (n_classes - 1)
    return np.where(np.eye(n_classes, dtype=bool), 1 - share, wrong)


def chances(labels, classes, confusion):
    """p(label of row n | component k), (N, K); 1 where there is no label, 0 for components of no class where there is one."""
    found = np.ones((len(labels), len(classes)))
    for n, label in enumerate(labels):
        for k, its_class in enumerate(classes):
            if label >= 0:
                found[n, k] = 0.0 if its_class < 0 else confusion[its_class, label]
    return found


def em_step(rows, mixture, known, sample_weight=None, reg_covar=0.0):
    """One iteration where the density of component k at row n counts known[n, k] times."""
    weights = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight)
    with np.errstate(divide="ignore"):
        joints = naive.log_joints(rows, mixture) + np.log(known)
    densities = naive.log_sum_exp(joints)
    responsibilities = np.exp(joints - densities[:, None])
    after = naive.m_step(rows, responsibilities, mixture.covariance_type, sample_weight, reg_covar)
    return LabelledStep(float((weights * densities).sum()), responsibilities, after)


def confusion_step(labels, classes, responsibilities, confusion, sample_weight=None):
    """The M-step for the confusion matrix."""
    weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight)
    counts = np.zeros(confusion.shape)
    for n, label in enumerate(labels):
        for k, its_class in enumerate(classes):
            if label >= 0 and its_class >= 0:
                counts[its_class, label] += weights[n] * responsibilities[n, k]
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.where(totals > 0, totals, 1), confusion)
