"""Templates of the rendered contexts, installed as `builder.templates`."""
