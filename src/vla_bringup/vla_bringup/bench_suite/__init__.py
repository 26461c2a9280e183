"""All benchmarks in one go, and what became of their figures since they were stored."""
