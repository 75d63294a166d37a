"""Configuration: settings, database URLs, the registry of models. Imports nothing else of dorm but exceptions."""
