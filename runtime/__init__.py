"""Serve the embedding models and rerankers that were baked into the image."""

__version__ = "0.1.0"
