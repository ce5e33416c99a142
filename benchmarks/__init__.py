"""fastmix beside scikit-learn and oneDAL: ``python -m benchmarks`` rewrites the documents' tables."""
