"""The runner of benchmarks, its peers and its reports."""
