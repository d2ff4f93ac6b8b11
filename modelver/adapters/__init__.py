"""The only places that import Git, DVC and YAML; one module a system."""
