"""Reports of what a benchmark run did, as one page that needs nothing else."""
