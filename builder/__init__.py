"""Turn a manifest of Hugging Face models into tested, tagged Docker images."""
