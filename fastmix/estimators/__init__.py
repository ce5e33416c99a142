"""Estimators: validation, scikit-learn's protocol, results."""
