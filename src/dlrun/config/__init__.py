"""The config: the schema of the keys, composing with Hydra, and objects from config nodes."""
