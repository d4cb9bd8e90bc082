"""Serve the embedding models and rerankers that were baked into the image."""
