"""Turn a manifest of Hugging Face models into tested, tagged Docker images."""

__version__ = "0.1.0"
