"""The service: takes videos over HTTP, spots in each in a process of its own, keeps the results."""
