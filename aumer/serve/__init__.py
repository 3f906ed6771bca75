"""The service: receives videos over HTTP, spots each in a separate process, stores the results."""
