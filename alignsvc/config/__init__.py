"""The configuration file, and the objects that it stands for."""
