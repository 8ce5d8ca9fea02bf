"""YAML files: reading them, their section `train:`, and what two of them differ in."""
